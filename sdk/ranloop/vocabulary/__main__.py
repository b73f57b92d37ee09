"""`python -m ranloop.vocabulary` prints the vocabulary as Markdown: the source of docs/vocabulary.md."""

from __future__ import annotations

import sys

from ranloop.vocabulary.page import vocabulary_page

if __name__ == "__main__":
    sys.stdout.write(vocabulary_page())
