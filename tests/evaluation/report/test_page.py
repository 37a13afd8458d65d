import dataclasses
import re

import msgspec

from plugins.evaluation.report import render
from plugins.evaluation.report.data import ReportData
from tests.evaluation.report.sample_report import sample_report


def payload(page):
    start = page.index('type="application/json">') + len('type="application/json">')
    return page[start : page.index('</script>', start)]


def test_the_page_holds_the_data_unchanged():
    report = sample_report(categories=20)
    assert msgspec.json.decode(payload(render(report)), type=ReportData) == report


def test_names_cannot_leave_the_data():
    page = render(sample_report(categories=20))
    assert '</script><b>sneaky' not in page
    assert '<' not in payload(page)


def test_nothing_is_fetched_from_elsewhere():
    page = render(sample_report(categories=20))
    addresses = set(re.findall(r'https?://[^\s\'"<)]+', page))
    assert addresses == {'http://www.w3.org/2000/svg'}  # a namespace, not a file
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="(?!data:)', page)
    assert "default-src 'none'" in page


def test_a_title_is_escaped():
    page = render(dataclasses.replace(sample_report(categories=20), title='a < b & c'))
    assert '<h1>a &lt; b &amp; c</h1>' in page
