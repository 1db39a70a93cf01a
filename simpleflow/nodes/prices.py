"""Prices per hour of EC2 machines: a dated file of the package (prices.json), which `sfnodes prices --renew` renews.

It holds list prices of Linux on demand. A machine of the spot market never costs more. Within a family the price is
proportional to the size, so the file has the price of one ``large`` by family and region. Renewed regions have a price
for each type. A price in the cluster file takes precedence.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from simpleflow.core import errors

#: the file of this installation
PATH = Path(__file__).with_name("prices.json")
#: sizes in parts of a ``large``; 'Nxlarge' is 2 N of them
_SIZES = {"nano": 1 / 16, "micro": 1 / 8, "small": 1 / 4, "medium": 1 / 2, "large": 1.0, "xlarge": 2.0}


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """``prices.json``."""

    #: the day of its prices, such as '2026-01-31', except for renewed regions
    dated: str
    source: str
    currency: str
    #: region -> the day of its prices by type, when they were renewed
    renewed: dict[str, str] = {}
    #: family -> region -> price of one ``large``
    families: dict[str, dict[str, float]] = {}
    #: type -> region -> price
    types: dict[str, dict[str, float]] = {}

    def price(self, name: str, region: str) -> float | None:
        """Return the price per hour of an instance type in a region; None if it is unknown."""
        found = self.types.get(name, {}).get(region)
        if found is not None or region in self.renewed:
            return found
        family, _, size = name.partition(".")
        large, units = self.families.get(family, {}).get(region), _units(size)
        return None if large is None or units is None else round(large * units, 6)

    def day(self, region: str) -> str:
        """Return the day of a region's prices."""
        return self.renewed.get(region, self.dated)

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region with at least one price, sorted."""
        of_families = (region for each in self.families.values() for region in each)
        return tuple(sorted({*of_families, *self.renewed}))

    def with_region(self, region: str, day: str, found: Mapping[str, float]) -> PriceList:
        """Return the list with the region's prices replaced by ``found`` (type -> price per hour)."""
        types = {
            name: {each: price for each, price in own.items() if each != region} for name, own in self.types.items()
        }
        for name, price in found.items():
            types.setdefault(name, {})[region] = price
        return msgspec.structs.replace(
            self,
            types={name: own for name, own in sorted(types.items()) if own},
            renewed={**self.renewed, region: day},
        )


def _units(size: str) -> float | None:
    if size in _SIZES:
        return _SIZES[size]
    number = size.removesuffix("xlarge")
    return 2.0 * int(number) if size.endswith("xlarge") and number.isdigit() else None


@functools.cache
def known() -> PriceList:
    """Return the list of this installation, which is read once."""
    return read(PATH)


def read(path: Path) -> PriceList:
    """Read a price list; raises UsageError if it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=PriceList)
    except (OSError, msgspec.DecodeError) as error:
        raise errors.UsageError(
            f"the price list {path} cannot be read ({error}): install simpleflow anew, or give each profile "
            "billing: {price: ...} in the cluster file"
        ) from error


def write(path: Path, prices: PriceList) -> None:
    """Replace the file at once, one family or type a line; raises UsageError if it cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(_lines(prices))
        temporary.replace(path)
    except OSError as error:
        raise errors.UsageError(
            f"{path} cannot be written ({error.strerror or error}): run this as the owner of the installation, or give "
            "each profile billing: {price: ...} in the cluster file"
        ) from error
    known.cache_clear()


def _lines(prices: PriceList) -> bytes:
    tables = []
    for name in ("families", "types"):
        rows = ",\n".join(
            f"{msgspec.json.encode(key).decode()}:{msgspec.json.encode(own, order='sorted').decode()}"
            for key, own in sorted(getattr(prices, name).items())
        )
        tables.append(f'"{name}":{{\n{rows}\n}}')
    heads = [
        f'"{name}":{msgspec.json.encode(getattr(prices, name)).decode()}'
        for name in ("dated", "source", "currency", "renewed")
    ]
    return ("{\n" + ",\n".join([*heads, *tables]) + "\n}\n").encode()


def dearest(types: tuple[str, ...], region: str, prices: PriceList | None = None) -> float | None:
    """Return the price per hour of the dearest type, since any may be launched; None if one price is unknown."""
    prices = prices or known()
    found = [prices.price(name, region) for name in types]
    return None if not found or None in found else max(each for each in found if each is not None)
