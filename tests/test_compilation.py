from plugins.compilation import compiled


def test_a_function_without_a_place_for_its_cache_is_compiled_in_memory():
    # Like a read-only installation without a home folder: nowhere to keep the machine code.
    names = {}
    exec('def double(x):\n    return 2 * x', names)
    double = compiled(names['double'])
    assert double(21) == 42
    assert double.signatures


def test_functions_of_the_package_are_kept_on_disk():
    def triple(x):
        return 3 * x

    assert compiled(triple)._cache.cache_path
