"""The machine, as the doctor looks at it: devices, memory, disk, a product, a sum over devices."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from waltzjax.plan.calibration import device_kind
from waltzjax.plan.doctor_line import FAIL, OK, WARN, Line, size
from waltzjax.plan.needs import Needs
from waltzjax.plan.nvidia import Nvidia
from waltzjax.run.devices import known_device

MULTIPLYING_S = 2.0  # on all devices together
SIDE = {"cpu": 1024}  # of the matrices; 4096 elsewhere
CHECKED_ROWS = 16  # of a product, against float64 on the host
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2}  # relative: float32 may be multiplied as TF32
SLOWEST, LEAST_SHARE = 0.8, 0.3  # of the fastest device; of the peak where that is known
BUSY = 0.05  # of a GPU's memory that others hold
SUMMED = 2**20  # numbers of each device


class Memory(NamedTuple):
    """Bytes of the host: what there is, and what a new process may still take."""

    total: int
    available: int


def host_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> Memory:
    """The host's memory, or the container's where that is less. What a container holds counts the
    files it has read, of which the inactive ones go as soon as memory is asked for."""
    rows = [line.split() for line in (proc / "meminfo").read_text().splitlines()]
    kib = {row[0].rstrip(":"): int(row[1]) for row in rows}
    total, available = 1024 * kib["MemTotal"], 1024 * kib["MemAvailable"]
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
        held = int(used.read_text()) - _inactive_files(cgroup / "memory.stat")
        available = min(available, total - held)
    return Memory(total, max(available, 0))


def _inactive_files(stat: Path) -> int:
    rows = [line.split() for line in stat.read_text().splitlines()] if stat.is_file() else []
    return next((int(row[1]) for row in rows if row[0] == "inactive_file"), 0)


def device_line() -> Line:
    """The devices that jax computes on."""
    devices, kind = jax.devices(), device_kind()
    return Line("devices", OK, f"{len(devices)} x {kind} ({devices[0].platform})")


def memory_lines(needed: Needs | None, gpu: Nvidia | None, host: Memory) -> Iterator[Line]:
    """Memory of devices and host against the least that a config needs; None: nobody knows, there
    is no config, or not its model."""
    local = jax.local_devices()
    on_host = local[0].platform == "cpu"
    wanted = needed.host if needed else 0
    if on_host:
        wanted += len(local) * (needed.device if needed else 0)
    else:
        yield from _device_memory(local, needed)
    yield _against("host memory", host.available, wanted, f"of {size(host.total)}")
    shares = [u / t for u, t in zip(gpu.used_mib, gpu.total_mib, strict=True) if t] if gpu else []
    if max(shares, default=0.0) > BUSY:
        busy = [f"GPU {i} {share:.0%}" for i, share in enumerate(shares) if share > BUSY]
        yield Line(
            "other processes",
            WARN,
            f"hold memory of {', '.join(busy)}",
            "nvidia-smi lists them; end them, or choose others with CUDA_VISIBLE_DEVICES",
        )


def _device_memory(local: list[jax.Device], needed: Needs | None) -> Iterator[Line]:
    stats = [device.memory_stats() or {} for device in local]
    free = [s["bytes_limit"] - s.get("bytes_in_use", 0) for s in stats if "bytes_limit" in s]
    if not free:
        yield Line("device memory", WARN, "the devices do not tell how much they have")
        return
    yield _against("device memory", min(free), needed.device if needed else 0, "on each device")


def _against(check: str, free: int, wanted: int, where: str) -> Line:
    text = f"{size(free)} free {where}"
    if not wanted:
        return Line(check, OK, text)
    text += f"; this config needs at least {size(wanted)}"
    if wanted <= free:
        return Line(check, OK, text)
    return Line(
        check,
        FAIL,
        text,
        "more devices, :lora, a smaller config.rollout.cache_tokens or a smaller model; "
        "waltzjax.plan without --doctor says what fits",
    )


def disk_line(workdir: Path, needed: Needs | None, keep: int = 0) -> Line:
    """Whether ``workdir`` can be written, and whether the disk has room for the checkpoints of a
    run, of which ``keep`` stay; nothing is left there."""
    there = next(p for p in (workdir.absolute(), *workdir.absolute().parents) if p.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".doctor-") as file:
            file.write(b"\0" * 2**20)
            file.flush()
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Line(
            "disk",
            FAIL,
            f"{there} cannot be written: {error.strerror}",
            "name a directory of yours with --workdir",
        )
    text = f"{there} can be written, {size(free)} free"
    if not needed or not needed.disk:
        return Line("disk", OK, text)
    text += (
        f"; checkpoints of {size(needed.checkpoint)}, {keep} of a stage kept and one in writing, "
        f"and the agents take {size(needed.disk)}"
    )
    if needed.disk > free:
        return Line(
            "disk",
            FAIL,
            text,
            "free some, name another --workdir, or lower config.train.keep_checkpoints",
        )
    return Line("disk", OK, text)


def product_line(dtype: str, seconds: float = MULTIPLYING_S) -> Line:
    """A product of matrices on each device of this process, for ``seconds`` in all: its rate, and
    whether it is right."""
    local = jax.local_devices()
    rates, errors = zip(
        *(multiply(device, dtype, seconds / len(local)) for device in local), strict=True
    )
    bad = [d for d, error in zip(local, errors, strict=True) if not error <= TOLERANCE[dtype]]
    if bad:  # NaN too
        return Line(
            "matmul",
            FAIL,
            f"wrong on {', '.join(map(str, bad))}: relative errors {errors}",
            "take the device out of the run (CUDA_VISIBLE_DEVICES) and have it checked",
        )
    slowest, fastest = min(rates), max(rates)
    text = f"{slowest / 1e9:,.0f} GFLOP/s in {dtype}"
    text += f" on the slowest of {len(local)}" if len(local) > 1 else ""
    text += f", right to {max(errors):.1e}"
    known = known_device(local[0].device_kind)
    share = slowest / 1e12 / known.tflops["bfloat16"] if known and dtype == "bfloat16" else 1.0
    if share < 1:
        text += f", {share:.0%} of the peak"
    uneven = slowest < SLOWEST * fastest and local[0].platform != "cpu"  # emulated ones share cores
    if uneven:
        text += f"; the fastest reaches {fastest / 1e9:,.0f}"
    if uneven or share < LEAST_SHARE:
        return Line(
            "matmul", WARN, text, "see whether the device is shared, too hot, or limited in power"
        )
    return Line("matmul", OK, text)


def multiply(device: jax.Device, dtype: str, seconds: float) -> tuple[float, float]:
    """(FLOP/s of the best round, relative error of a few rows) of a product on ``device``."""
    side, draw = SIDE.get(device.platform, 4096), np.random.default_rng(0)
    a, b = (
        jax.device_put(jnp.asarray(draw.standard_normal((side, side), np.float32), dtype), device)
        for _ in range(2)
    )
    product = jax.jit(jnp.matmul)
    c = jax.block_until_ready(product(a, b))
    rows = np.asarray(a[:CHECKED_ROWS], np.float64)
    right = rows @ np.asarray(b, np.float64)
    error = np.abs(np.asarray(c[:CHECKED_ROWS], np.float64) - right).max() / np.abs(right).max()
    best, end = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        started = time.perf_counter()
        for _ in range(4):
            c = product(a, b)
        c.block_until_ready()
        best = max(best, 4 * 2 * side**3 / (time.perf_counter() - started))
    return best, float(error)


def collective_line() -> Line:
    """A sum over all devices: what it took, and whether it is right."""
    devices = jax.devices()
    mesh, count = Mesh(np.array(devices), ("all",)), len(devices)

    @jax.jit
    @partial(jax.shard_map, mesh=mesh, in_specs=P("all"), out_specs=P("all"))
    def add(x):
        return jax.lax.psum(x, "all")

    @partial(jax.jit, out_shardings=jax.NamedSharding(mesh, P("all")))
    def numbered():
        return jnp.broadcast_to(jnp.arange(1.0, count + 1)[:, None], (count, SUMMED))

    x = numbered()
    jax.block_until_ready(add(x))
    started = time.perf_counter()
    total = jax.block_until_ready(add(x))
    seconds = time.perf_counter() - started
    right = all(
        (np.asarray(s.data) == count * (count + 1) / 2).all() for s in total.addressable_shards
    )
    text = f"psum of {4 * SUMMED / 2**20:.0f} MiB over {count} device{'s' * (count > 1)}"
    if not right:
        return Line(
            "collective",
            FAIL,
            f"{text}: wrong",
            "a link between the devices is damaged: nvidia-smi topo -m, NCCL_DEBUG=INFO",
        )
    return Line("collective", OK, f"{text}: right, {1000 * seconds:.2f} ms")
