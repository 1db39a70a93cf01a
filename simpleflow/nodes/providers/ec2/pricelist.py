"""List prices from AWS (the Price List Query API)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from simpleflow.nodes import errors

from . import clients

#: region of the API, for prices of every region
REGION = "us-east-1"
_WANTED = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "capacitystatus": "Used",
    "preInstalledSw": "NA",
    "marketoption": "OnDemand",
}


def fetch(made: clients.Clients, region: str) -> dict[str, float]:
    """Return the price per hour of every instance type of a region: Linux, shared tenancy, on demand, in USD.

    Raises NodesError when AWS does not answer, refuses (right: pricing:GetProducts), or has no price of the region.
    """
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in _WANTED.items()]
    filters.append({"Type": "TERM_MATCH", "Field": "regionCode", "Value": region})
    with clients.mapped(f"asking AWS for the prices of {region}"):
        pages = made.get("pricing").get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=filters)
        found = parsed(json.loads(text) for page in pages for text in page["PriceList"])
    if not found:
        raise errors.ProviderRefused(f"AWS names no price in region {region}; is its name right?")
    return found


def parsed(products: Iterable[Any]) -> dict[str, float]:
    """Return instance type -> USD per hour, from products in the form of the API."""
    found: dict[str, float] = {}
    for each in products:
        name = each.get("product", {}).get("attributes", {}).get("instanceType")
        for term in each.get("terms", {}).get("OnDemand", {}).values():
            for dimension in term.get("priceDimensions", {}).values():
                price = float(dimension.get("pricePerUnit", {}).get("USD", 0))
                if name and price > 0 and dimension.get("unit") == "Hrs":
                    found[name] = min(price, found.get(name, price))
    return found
