import subprocess
import sys


def test_reading_annotations_needs_no_framework(root):
    code = (
        'import sys\n'
        'from tools.light import import_light\n'
        'annotations = import_light("annotations")\n'
        'assert all(hasattr(annotations, name) for name in annotations.__all__)\n'
        'print(sorted({"torch", "mmdet", "mmengine", "cv2", "matplotlib"} & set(sys.modules)))\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=root, capture_output=True, text=True)
    assert done.stdout == '[]\n', done.stderr
