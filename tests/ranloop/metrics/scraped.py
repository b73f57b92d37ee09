"""What a scrape says, as plain data."""

from __future__ import annotations

import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

Scraped = dict[tuple[str, ...], float]


def read(text: str) -> Scraped:
    """(Sample, value of each label in alphabetic order of the labels) -> value."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def get(url: str) -> tuple[int, str]:
    """Status and text of a page."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def scrape(base: str) -> Scraped:
    status, text = get(f"{base}/metrics")
    assert status == 200, text
    return read(text)
