"""The page in a real browser: what a reader clicks and types."""

import time

import pytest

from plugins.evaluation.report import render
from tests.evaluation.report.chromium import PROGRAMS, Page, find_chromium
from tests.evaluation.report.sample_report import sample_report

MINUS, UNDEFINED = '\u2212', '\u2013'  # as the page writes them
ROWS = '#categories tbody tr'
SECTIONS = ('overview', 'tail', 'calibration', 'curves', 'examples', 'categories')


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    program = find_chromium()
    if program is None:
        pytest.skip(f'no browser: none of {", ".join(PROGRAMS)} is installed')
    page = Page(program, tmp_path_factory.mktemp('chromium'))
    yield page
    page.close()


@pytest.fixture(scope='module')
def addresses(tmp_path_factory):
    """Reports of one and of two runs on 1,203 categories, by number of runs."""
    folder = tmp_path_factory.mktemp('reports')
    for runs in (1, 2):
        (folder / f'{runs}.html').write_text(render(sample_report(runs=runs)), encoding='utf-8')
    return {runs: (folder / f'{runs}.html').as_uri() for runs in (1, 2)}


@pytest.fixture
def opened(browser, addresses):
    """Opens a report in the state that an address holds; no error may happen until the end."""

    def open_report(state='', runs=2):
        browser.open('about:blank')
        browser.open(f'{addresses[runs]}#{state}')
        return browser

    browser.errors.clear()
    yield open_report
    assert browser.errors == []


@pytest.fixture
def table(opened):
    """Opens a report and scrolls down to the table of categories."""

    def open_table(state='', runs=2):
        page = opened(state, runs)
        page.visit('#categories')
        page.wait(f'document.querySelector("{ROWS}")')
        return page

    return open_table


def column(page, key, rows=10):
    """Texts of the first rows below a heading."""
    return page.run(
        f"""(() => {{
          const head = document.querySelector('#categories th[data-key="{key}"]');
          return [...document.querySelectorAll('{ROWS}')].slice(0, {rows})
            .map((row) => row.children[head.cellIndex].innerText.trim());
        }})()"""
    )


def numbers(texts):
    return [float(text.replace(',', '').replace(MINUS, '-')) for text in texts if text != UNDEFINED]


def heading(key):
    return f'#categories th[data-key="{key}"]'


def found(page):
    return page.run('document.getElementById("found").textContent')


@pytest.mark.parametrize('runs', [1, 2])
def test_every_section_draws_without_an_error(opened, runs):
    page = opened(runs=runs)
    for section in SECTIONS:
        page.visit(f'#{section}')
        page.wait(f'document.querySelector("#{section} .body").childElementCount')
    assert page.run('document.querySelectorAll("#overview svg").length') == 3
    assert page.run('document.querySelectorAll("#tail .point").length') == 1203 - 120
    assert page.run('document.querySelectorAll("#calibration svg").length') == runs
    assert page.run('document.querySelectorAll("#curves .curve").length') == 3 * runs
    assert page.run('document.documentElement.scrollWidth <= innerWidth')


def test_sections_and_rows_are_drawn_when_they_are_reached(opened):
    began = time.monotonic()
    page = opened()
    page.wait('document.querySelector("#overview table")')
    assert time.monotonic() - began < 10
    assert page.run('document.querySelector("#categories .body").childElementCount') == 0
    page.visit('#categories')
    page.wait(f'document.querySelector("{ROWS}")')
    drawn = page.run(f'document.querySelectorAll("{ROWS}").length')
    assert 0 < drawn < 200
    page.run('document.querySelector(".rows").scrollTop = 1e6')
    page.wait(f'document.querySelectorAll("{ROWS}").length > {drawn}')


def test_a_heading_sorts_and_a_second_click_turns_the_order(table):
    page = table()
    page.click(f'{heading("train")} button')
    falling = numbers(column(page, 'train'))
    assert falling == sorted(falling, reverse=True) and falling[0] > 10_000
    sort = f'document.querySelector(\'{heading("train")}\').getAttribute("aria-sort")'
    assert page.run(sort) == 'descending'
    page.click(f'{heading("train")} button')
    assert page.run(sort) == 'ascending'
    assert set(numbers(column(page, 'train'))) == {1}
    assert 'sort=train' in page.run('location.hash') and 'dir=asc' in page.run('location.hash')


def test_values_that_are_not_defined_come_last_in_both_directions(table):
    for direction in ('asc', 'desc'):
        page = table(f'sort=AP&dir={direction}&search=thing_001')
        shown = column(page, 'AP.0', 100)
        assert UNDEFINED in shown
        assert UNDEFINED not in shown[: -shown.count(UNDEFINED)]


def test_names_sort_as_text(table):
    names = column(table('sort=name&dir=asc'), 'name', 4)
    assert names == sorted(names) and 'cat' in names


def test_typing_searches_names_and_ids(table):
    page = table()
    page.type('#search', 'cat')
    page.wait('document.getElementById("found").textContent.startsWith("2 of")')
    assert set(column(page, 'name')) == {'cat', 'caterpillar_(larva)'}
    page.run('document.getElementById("search").value = ""')
    page.type('#search', '77')
    page.wait(f'document.querySelectorAll("{ROWS}").length < 60')
    assert '77' in column(page, 'id', 60)
    page.type('#search', 'zzz')
    page.wait('document.getElementById("found").textContent.startsWith("0 of 1,203")')


def test_groups_can_be_left_out(table):
    page = table()
    page.click('#categories input[value="f"]')
    page.click('#categories input[value="c"]')
    rare = sum(group == 'r' for group in sample_report().categories.group)
    assert found(page) == f'{rare:,} of 1,203 categories'
    assert set(column(page, 'group', 50)) == {'r'}


def test_runs_stand_side_by_side_with_their_difference(table):
    page = table('sort=AP.1.change&dir=desc')
    first, second, change = (numbers(column(page, f'AP.{k}')) for k in ('0', '1', '1.change'))
    assert change == sorted(change, reverse=True) and change[0] > 0
    assert [b - a for a, b in zip(first, second, strict=True)] == pytest.approx(change, abs=0.011)
    assert table(runs=1).run(f"document.querySelector('{heading('AP.1')}')") is None


def test_overview_shows_every_run_and_the_change(opened):
    page = opened()
    page.wait('document.querySelector("#overview table")')
    rows = page.run(
        '[...document.querySelectorAll("#overview tbody tr")].slice(0, 2)'
        '.map((row) => [...row.cells].map((cell) => cell.innerText))'
    )
    report = sample_report()
    values = report.protocols[0].values
    assert rows[0][:3] == ['AP_old@300', 'baseline', '25.00']
    assert rows[0][5] == UNDEFINED  # APs of the first run is not defined
    second = 100 * values[1]['AP']
    assert rows[1][2].split('\n') == [f'{second:.2f}', f'{second - 25:+.2f}'.replace('-', MINUS)]


def test_columns_can_be_chosen(table):
    page = table(runs=1)
    assert page.run(f"document.querySelector('{heading('AR.0')}')") is None
    page.click('#categories input[value="AR"]')
    assert len(numbers(column(page, 'AR.0'))) == 10
    assert 'columns=' in page.run('location.hash')


def test_a_category_is_added_to_the_curves_by_search_and_removed_by_click(opened):
    page = opened('pr=')
    page.visit('#curves')
    page.wait('document.querySelector("#pr-search")')
    assert page.run('document.querySelectorAll("#curves .curve").length') == 0
    page.type('#pr-search', 'cat')
    page.press('Enter')
    page.wait('document.querySelectorAll("#curves .curve").length === 2')
    assert 'pr=4' in page.run('location.hash')
    page.type('#pr-search', 'no such thing')
    page.press('Enter')
    page.wait('document.querySelector("#curves [role=status]").textContent.includes("No category")')
    page.click('#curves .chips button')
    page.wait('document.querySelectorAll("#curves .curve").length === 0')


def test_a_name_in_the_table_leads_to_its_curve(table):
    page = table('search=caterpillar')
    page.click(f'{ROWS} button')
    page.wait('document.querySelector("#curves .chips")?.innerText.includes("caterpillar")')


def test_marks_of_the_tail_tell_their_category_to_mouse_and_keyboard(opened):
    page = opened()
    page.visit('#tail')
    page.wait('document.querySelector("#tail .point")')
    page.run('document.querySelector("#tail svg.plot").focus()')
    page.press('ArrowRight')
    page.press('ArrowRight')
    shown = 'document.getElementById("tip")'
    assert page.run(f'{shown}.hidden') is False
    assert 'AP_old@300: baseline: ' in page.run(f'{shown}.textContent')
    page.press('Enter')
    page.wait('location.hash.includes("pr=")')
    page.press('Escape')
    page.click('#tail .point[data-id="4"]')
    page.wait('document.querySelector("#curves .chips")?.innerText.includes("cat")')


def test_the_tail_shows_the_difference_of_two_runs(opened):
    page = opened('tail=diff1')
    page.visit('#tail')
    page.wait('document.querySelector("#tail .point")')
    assert 'seesaw minus baseline' in page.run(
        'document.querySelector("#tail svg.plot").getAttribute("aria-label")'
    )


def test_calibration_of_another_group_and_threshold_can_be_chosen(opened):
    page = opened('iou=0.75&group=r')
    page.visit('#calibration')
    page.wait('document.querySelector("#calibration figcaption")')
    assert 'rare' in page.run('document.querySelector("#calibration figcaption").innerText')
    assert 'IoU ≥ 0.75' in page.run('document.querySelector("#calibration svg").textContent')


def test_examples_show_pictures_of_both_runs(opened):
    page = opened()
    page.visit('#examples')
    page.wait('document.querySelectorAll("#examples .crops img").length')
    shown = '[...document.querySelectorAll("#examples img")]'
    page.wait(f'{shown}.every((image) => image.complete && image.naturalWidth === 224)')
    assert page.run(f'{shown}.every((image) => image.alt)')
    assert page.run('document.querySelectorAll("#examples .sides")[0].children.length') == 2
    page.click('#examples button[aria-pressed="false"]')
    page.wait('document.querySelector("#examples h3").textContent.includes("sneaky")')
    assert page.run('document.querySelector("#examples h3 b")') is None


@pytest.mark.parametrize('state', ['sort=nonsense&dir=up&group=x&iou=9&tail=7&pr=99999,x', 'tail'])
def test_an_address_with_odd_values_still_opens(opened, state):
    page = opened(state)
    for section in SECTIONS:
        page.visit(f'#{section}')
        page.wait(f'document.querySelector("#{section} .body").childElementCount')


def test_links_to_sections_keep_the_rest_of_the_address(opened):
    page = opened('search=cat')
    page.click('nav a[data-section="curves"]')
    page.wait('location.hash.includes("section=curves")')
    assert 'search=cat' in page.run('location.hash')
    page.wait('Math.abs(document.getElementById("curves").getBoundingClientRect().top) < 200')


def test_every_control_has_a_name(table):
    page = table()
    for section in SECTIONS:
        page.visit(f'#{section}')
        page.wait(f'document.querySelector("#{section} .body").childElementCount')
    nodes = page.send('Accessibility.getFullAXTree')['nodes']
    kinds = {'button', 'combobox', 'searchbox', 'checkbox', 'link', 'image'}
    nameless = [
        node['role']['value']
        for node in nodes
        if node.get('role', {}).get('value') in kinds and not node.get('name', {}).get('value')
    ]
    assert nameless == []
