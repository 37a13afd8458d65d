"""What the READMEs and metafiles of ``configs/`` say exists, and what exists is said."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs'
README_FILES = sorted(CONFIGS.glob('*/README.md'))
METAFILES = sorted(CONFIGS.glob('*/metafile.yml'))


def leaves(folder):
    return {path.stem for path in folder.glob('*.py')}


def folder_of(path):
    return path.parent.name


@pytest.mark.parametrize('path', METAFILES, ids=folder_of)
def test_readme_links_every_config_of_its_folder_once(path):
    text = path.with_name('README.md').read_text()
    links = {leaf: text.count(f']({leaf}.py)') for leaf in leaves(path.parent)}
    assert {leaf for leaf, count in links.items() if count != 1} == set()


@pytest.mark.parametrize('path', METAFILES, ids=folder_of)
def test_metafile_lists_every_config_of_its_folder_once(path):
    content = yaml.safe_load(path.read_text())
    (collection,) = content['Collections']
    names = [model['Name'] for model in content['Models']]
    assert sorted(names) == sorted(leaves(path.parent))
    assert (ROOT / collection['README']).samefile(path.parent / 'README.md')
    for model in content['Models']:
        assert model['In Collection'] == collection['Name']
        assert model['Config'] == f'configs/{path.parent.name}/{model["Name"]}.py'
        assert model['Metadata'].get('Tests the Weights of', names[0]) in names


@pytest.mark.parametrize('path', README_FILES, ids=folder_of)
def test_links_and_commands_of_a_readme_lead_somewhere(path):
    text = path.read_text()
    targets = [t for t in re.findall(r'\]\(([^)#]+)', text) if '://' not in t]
    missing = [target for target in targets if not (path.parent / target).exists()]
    for block in re.findall(r'```bash\n(.*?)```', text, re.DOTALL):
        for name, value in re.findall(r'^(\w+)=(\S+)$', block, re.MULTILINE):
            block = block.replace(f'${name}', value)
        named = re.findall(r'(?:configs|tools)/[\w./-]+\.(?:py|sh)', block)
        missing += [file for file in named if not (ROOT / file).is_file()]
    assert not missing


def test_experiments_have_names_of_their_own():
    names = [path.stem for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts]
    assert len(names) == len(set(names)), 'they would share a work dir'


@pytest.mark.parametrize('path', METAFILES, ids=folder_of)
def test_weights_to_start_from_are_those_of_a_config(path):
    every = {p.stem for p in CONFIGS.rglob('*.py') if '_base_' not in p.parts}
    for config in path.parent.glob('*.py'):
        named = re.findall(r"^load_from = 'work_dirs/([^/']+)/", config.read_text(), re.MULTILINE)
        assert set(named) <= every


@pytest.mark.parametrize('path', METAFILES, ids=folder_of)
def test_config_that_only_tests_says_whose_weights(path):
    content = yaml.safe_load(path.read_text())
    for model in content['Models']:
        text = (ROOT / model['Config']).read_text()
        parent = re.search(r"_base_ = '\./([^']+)\.py'", text)
        weights = model['Metadata'].get('Tests the Weights of')
        assert weights == (parent[1] if 'For testing only' in text else None)
