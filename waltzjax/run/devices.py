"""Devices and links that are known: the records of plan/devices.toml."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

TABLE = Path(str(files("waltzjax") / "plan" / "devices.toml"))
HOST_DEVICES = 8  # of one host; link joins them, network joins hosts


class Link(NamedTuple):
    """What joins devices.

    gb_per_s: of one device and direction, as a collective reaches it.
    latency_us: of one collective, however small.
    """

    name: str
    gb_per_s: float
    latency_us: float


@dataclasses.dataclass(frozen=True)
class Device:
    """One kind of device, as it is assumed.

    tflops: dense, by compute type; gb_per_s: of its memory; memory_gib: in 2**30 bytes.
    mfu: share of ``tflops`` that training reaches, of all FLOPs that are executed, in (0, 1].
    bandwidth_share: share of ``gb_per_s`` that decoding reaches, in (0, 1].
    link, network: within a host, between hosts.
    """

    name: str
    tflops: Mapping[str, float]
    gb_per_s: float
    memory_gib: float
    mfu: float
    bandwidth_share: float
    link: Link
    network: Link

    def __post_init__(self) -> None:
        sizes = {f"tflops.{dtype}": value for dtype, value in self.tflops.items()}
        sizes |= {name: getattr(self, name) for name in ("gb_per_s", "memory_gib")}
        shares = {name: getattr(self, name) for name in ("mfu", "bandwidth_share")}
        for name, value in (sizes | shares).items():
            most = 1 if name in shares else 1e9
            if not 0 < value <= most:
                raise ValueError(
                    f"device {self.name!r}: {name}: got {value:g}, allowed is > 0 and <= {most:g}"
                )


class Devices(NamedTuple):
    """All devices and links of a file; ``default`` names the device of a plan that names none."""

    date: str
    default: str
    devices: dict[str, Device]
    links: dict[str, Link]
    measured: dict[str, str]

    def device(self, name: str, **shares: float | None) -> Device:
        """The device ``name`` ("": the default), with those ``shares`` that are not None.

        Raises:
          ValueError: there is no such device, or a share cannot be.
        """
        name = name or self.default
        if name not in self.devices:
            raise ValueError(f"--device: got {name!r}, allowed are {', '.join(self.devices)}")
        given = {key: value for key, value in shares.items() if value is not None}
        return dataclasses.replace(self.devices[name], **given)  # type: ignore[arg-type]


def read_devices(path: Path = TABLE) -> Devices:
    """The devices of a file of the form of devices.toml.

    Raises:
      ValueError: the file is not of that form; it names the entry.
    """
    table = read_toml(path)
    try:
        links = {
            name: Link(name, float(given["gb_per_s"]), float(given["latency_us"]))
            for name, given in table["links"].items()
        }
        devices = {
            name: _device(path, name, given, links) for name, given in table["devices"].items()
        }
        default, date = table["default"], str(table["date"])
    except KeyError as error:
        raise ValueError(f"{path}: the entry {error} is missing") from None
    if default not in devices:
        raise ValueError(f"{path}: default: got {default!r}, allowed are {', '.join(devices)}")
    return Devices(date, default, devices, links, dict(table.get("measured", {})))


def _device(path: Path, name: str, given: dict[str, Any], links: dict[str, Link]) -> Device:
    fields = {field.name: given[field.name] for field in dataclasses.fields(Device)}
    for kind in ("link", "network"):
        if fields[kind] not in links:
            raise ValueError(
                f"{path}: devices.{name}.{kind}: got {fields[kind]!r}, allowed are "
                f"{', '.join(links)}"
            )
        fields[kind] = links[fields[kind]]
    return Device(**fields)


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file; ValueError, naming the file, where it is none."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None


def known_device(kind: str) -> Device | None:
    """The device of devices.toml of which jax speaks as ``kind`` ("NVIDIA H100 80GB HBM3"), or
    None. Where kinds differ by their socket alone and ``kind`` does not tell, the faster one."""
    matching = [
        device
        for device in read_devices().devices.values()
        if device.name.split()[0] in kind.replace("-", " ").split()
        and ("PCIe" not in device.name or "PCIe" in kind)
    ]
    exact = [d for d in matching if all(word in kind for word in d.name.split())]
    return next(iter(exact or matching), None)
