"""What a run costs: the rentals and services of providers.toml."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from waltzjax.run.devices import read_toml

TABLE = Path(__file__).with_name("providers.toml")
# Hours between checkpoints count up to as many pre-emptions: beyond that a run hardly ends.
MOST_PREEMPTIONS = 10.0


class Rental(NamedTuple):
    """Devices by the hour, US dollars.

    preempted_every_h: hours between pre-emptions, 0: none; restart_h: hours until a run goes on.
    """

    name: str
    usd_per_device_hour: float
    note: str
    preempted_every_h: float = 0.0
    restart_h: float = 0.0


class Service(NamedTuple):
    """Fine-tuning of two agents as a service: from ``usd_low`` to ``usd_high`` in all."""

    name: str
    usd_low: float
    usd_high: float


class Reported(NamedTuple):
    """What others report of ``stage``; ``step_s``: seconds a step by their own arithmetic."""

    stage: str
    hours: float
    usd: float
    steps: int
    step_s: float
    devices: int


class Providers(NamedTuple):
    """All providers of a file; ``device``: the first word of the devices whose hours they sell."""

    date: str
    device: str
    rentals: tuple[Rental, ...]
    services: tuple[Service, ...]
    reported: dict[str, Reported]


class Cost(NamedTuple):
    """The cost of a stage at a provider, US dollars; ``hours`` with what pre-emptions add."""

    name: str
    cost: float
    note: str
    hours: float | None = None  # None: the provider does not rent by the hour


def read_providers(path: Path = TABLE) -> Providers:
    """The providers of a file of the form of providers.toml.

    Raises:
      ValueError: the file is not of that form.
    """
    table = read_toml(path)
    try:
        return Providers(
            str(table["date"]),
            table["device"],
            tuple(Rental(**_priced(path, entry)) for entry in table["rental"]),
            tuple(Service(entry["name"], *map(float, entry["usd"])) for entry in table["sft"]),
            {name: Reported(**entry) for name, entry in table["reported"].items()},
        )
    except KeyError as error:
        raise ValueError(f"{path}: the entry {error} is missing") from None
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from None


def _priced(path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    price = entry["usd_per_device_hour"]
    if not 0 <= price < 1e6:
        raise ValueError(
            f"{path}: rental {entry['name']!r}: usd_per_device_hour: got {price:g}, allowed is "
            "0 to 1e6"
        )
    return entry


def lost_hours(rental: Rental, hours: float, checkpoint_h: float) -> float:
    """Hours that pre-emptions add to ``hours`` of training with ``checkpoint_h`` between its
    checkpoints; 0: nothing is lost but the restarts.

    Pre-emptions come at random, one in m = ``rental.preempted_every_h`` hours; each loses what was
    trained since the last checkpoint and r = ``rental.restart_h``. An interval of t hours that has
    to pass without one then takes (m + r) * (exp(t / m) - 1) hours.
    """
    if not rental.preempted_every_h:
        return 0.0
    m, r = rental.preempted_every_h, rental.restart_h
    t = min(max(checkpoint_h, 1e-9), MOST_PREEMPTIONS * m)
    return hours * ((m + r) / t * math.expm1(t / m) - 1)


def costs(
    providers: Providers, hours: float, devices: int, checkpoint_h: float, *, tuning: bool
) -> list[Cost]:
    """What ``hours`` on ``devices`` cost at each rental, and, of supervised ``tuning``, at each
    service; ``checkpoint_h``: hours between checkpoints."""
    listed = []
    for rental in providers.rentals:
        lost = lost_hours(rental, hours, min(checkpoint_h, hours))
        dollars = (hours + lost) * devices * rental.usd_per_device_hour
        note = f"${rental.usd_per_device_hour:.2f} a device-hour"
        if rental.note:
            note += f"; {rental.note}"
        if rental.preempted_every_h:
            note += f", one in {rental.preempted_every_h:g} h assumed: +{lost:.1f} h"
        listed.append(Cost(rental.name, dollars, note, hours + lost))
    if tuning:
        listed += [
            Cost(
                service.name,
                service.usd_high,
                f"${service.usd_low:g} to ${service.usd_high:g}, two agents of 2,000 to 5,000 "
                "examples",
            )
            for service in providers.services
        ]
    return listed
