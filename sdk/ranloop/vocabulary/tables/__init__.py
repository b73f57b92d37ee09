"""The measurement catalogue itself, one table per theme; `ranloop.vocabulary.measurements` joins them."""

from ranloop.vocabulary.tables.mobility import MOBILITY
from ranloop.vocabulary.tables.own import OWN
from ranloop.vocabulary.tables.phone import PHONE
from ranloop.vocabulary.tables.radio import RADIO
from ranloop.vocabulary.tables.resources import RESOURCES
from ranloop.vocabulary.tables.service import SERVICE

__all__ = ("MOBILITY", "OWN", "PHONE", "RADIO", "RESOURCES", "SERVICE")
