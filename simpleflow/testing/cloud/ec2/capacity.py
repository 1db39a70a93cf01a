"""What the emulated region has to sell: types, prices, sold-out pools, quotas. All of it stated, nothing by chance."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Literal

from simpleflow.core import clock as clocks
from simpleflow.testing.cloud.wire import errors

Market = Literal["on-demand", "spot"]
#: USD per vCPU and hour where no price was given: near EC2's general-purpose prices, and easy to recognise
DEFAULT_PRICE = 0.05
#: what spot costs of the on-demand price where no price was given
SPOT_SHARE = 0.4


@dataclasses.dataclass(kw_only=True)
class SoldOut:
    """A pool without capacity."""

    instance_type: str
    #: '' is every zone
    zone: str
    #: None is both markets
    market: Market | None
    #: epoch seconds until which it lasts
    until: float
    #: instances that it still sells first
    left: int


class Capacity:
    """Answers "how many of these can be launched there now", and why not.

    Args:
        clock: the cloud's clock.
        vcpus: vCPUs of an instance type, None when there is no such type.
        prices: USD per hour of types that are not priced by their vCPUs.
        zones: the region's zones.
    """

    def __init__(
        self,
        clock: clocks.Clock,
        vcpus: Callable[[str], int | None],
        prices: Mapping[str, float],
        zones: tuple[str, ...],
    ) -> None:
        self._clock = clock
        self._vcpus = vcpus
        self._prices = dict(prices)
        self._sold_out: list[SoldOut] = []
        self.zones = zones
        #: vCPUs that may run at once, by market (AWS's quotas for standard families)
        self.quotas: dict[Market, int] = {"on-demand": 100_000, "spot": 100_000}

    def sold_out(
        self,
        instance_type: str,
        zone: str = "",
        market: Market | None = None,
        *,
        seconds: float = float("inf"),
        after: int = 0,
    ) -> None:
        """Let a pool have no capacity for a while, once it has sold ``after`` more instances."""
        self._sold_out.append(
            SoldOut(
                instance_type=instance_type, zone=zone, market=market, until=self._clock.now() + seconds, left=after
            )
        )

    def restock(self) -> None:
        """Fill every pool again."""
        self._sold_out.clear()

    def vcpus(self, instance_type: str) -> int:
        """vCPUs of a type; raises ApiError for one that does not exist."""
        count = self._vcpus(instance_type)
        if count is None:
            raise errors.ApiError("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
        return count

    def price(self, instance_type: str, market: Market) -> float:
        """USD per hour."""
        price = self._prices.get(instance_type)
        if price is None:
            price = self.vcpus(instance_type) * DEFAULT_PRICE
        return price * SPOT_SHARE if market == "spot" else price

    def on_sale(self, instance_type: str, zone: str, market: Market, wanted: int) -> int:
        """How many of ``wanted`` this pool sells now."""
        for pool in self._pools(instance_type, zone, market):
            wanted = min(wanted, pool.left)
        return wanted

    def sell(self, instance_type: str, zone: str, market: Market, count: int) -> None:
        """Count a launch against the pools that are about to run out."""
        for pool in self._pools(instance_type, zone, market):
            pool.left = max(0, pool.left - count)

    def _pools(self, instance_type: str, zone: str, market: Market) -> list[SoldOut]:
        now = self._clock.now()
        return [
            p
            for p in self._sold_out
            if p.instance_type == instance_type
            and p.zone in ("", zone)
            and p.market in (None, market)
            and p.until > now
        ]

    def refusal(self, instance_type: str, zone: str) -> errors.ApiError:
        """EC2's own words for a sold-out pool."""
        return errors.ApiError(
            "InsufficientInstanceCapacity",
            f"We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested "
            f"({zone}). Our system will be working on provisioning additional capacity.",
            500,
        )

    def quota_refusal(self, market: Market) -> errors.ApiError:
        """EC2's own words for a quota that is used up."""
        if market == "spot":
            return errors.ApiError("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
        return errors.ApiError(
            "VcpuLimitExceeded",
            f"You have requested more vCPU capacity than your current vCPU limit of {self.quotas[market]} allows for "
            "the instance bucket that the specified instance type belongs to.",
        )


def looks_like_image(image_id: str) -> bool:
    """Whether EC2 would call this id well-formed."""
    return re.fullmatch(r"ami-[0-9a-f]{8}([0-9a-f]{9})?", image_id) is not None
