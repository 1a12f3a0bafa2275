"""Each line of the doctor where all is well, and where it is not."""

import json
import shutil
import socket
import threading
import urllib.request
from importlib import metadata
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import forked
import jax
import jax.numpy as jnp
import pytest
from judge_server import JudgeServer, reply
from packaging.requirements import Requirement
from support import REPO, mesh_of, sharded_params, small_data, tiny_chat, tiny_config

from waltzjax.config import defaults
from waltzjax.config.key import COLLECT_READS
from waltzjax.model.hf import peft, weights
from waltzjax.model.lora import Lora, init_adapter
from waltzjax.plan import doctor, inputs, machine, nvidia, software
from waltzjax.plan.doctor_line import FAIL, OK, WARN
from waltzjax.plan.judge_line import judge_line
from waltzjax.plan.machine import Memory
from waltzjax.plan.needs import HOST_BASE, Needs, needs
from waltzjax.plan.nvidia import Nvidia
from waltzjax.recipes import readers

GIB = 2**30
CUDA = "jax-cuda12-plugin"


def config(path="stage2", arg="tiny", **more):
    c = run_path(str(REPO / f"configs/{path}.py"))["get_config"](arg)
    c.update_from_flattened_dict(more)
    return c


def by_name(lines):
    return {line.check: line for line in lines}


@pytest.fixture
def packages(monkeypatch):
    """Installed packages, other than they are."""
    changed: dict[str, str] = {}
    real = software.installed
    monkeypatch.setattr(software, "installed", lambda name: changed.get(name, real(name)))
    return changed


def test_versions_are_held_to_the_ranges_of_the_package(packages, monkeypatch):
    lines = by_name(software.versions())
    assert {line.status for line in lines.values()} == {OK}
    assert [*lines] == ["python", *software.SHOWN, "other packages"]
    assert lines["jax"].text.startswith(f"{jax.__version__} (")
    packages |= {"flax": "0.1", "optax": "", "numpy": "99"}
    monkeypatch.setattr(software.platform, "python_version", lambda: "3.10.9")
    lines = by_name(software.versions())
    bad = {name for name, line in lines.items() if line.status == FAIL}
    assert bad == {"python", "flax", "optax", "numpy"}
    assert lines["flax"].text.startswith("0.1, tested and allowed is ")
    assert lines["flax"].remedy.startswith('pip install "flax')
    assert lines["optax"].text.startswith("not installed")


def test_a_checkout_that_is_not_installed_has_no_ranges(monkeypatch):
    def none(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", none)
    [line] = software.versions()
    assert (line.status, line.remedy) == (WARN, "pip install -e .")


def test_an_extra_that_the_config_needs(monkeypatch):
    c = config()
    assert [line.status for line in software.extras(c)] == [OK]
    c.judge.url = "http://127.0.0.1:1/v1"
    assert [line.check for line in software.extras(c)] == ["extra judge"]
    monkeypatch.setattr(software.importlib.util, "find_spec", lambda name: None)
    [line] = software.extras(c)
    assert (line.status, line.remedy) == (FAIL, 'pip install "waltzjax[judge]"')


H100 = Nvidia("550.54.15", ("H100", "H100"), (81559, 81559), (4, 4))


def test_a_machine_without_gpus_says_so():
    [line] = software.cuda(None, "cpu")
    assert line.status == OK and "no NVIDIA GPU" in line.text


@pytest.mark.parametrize(("driver", "extra"), [("550.54.15", "cuda12"), ("580.65.06", "cuda13")])
def test_gpus_that_jax_does_not_use(driver, extra):
    [line] = software.cuda(H100._replace(driver=driver), "cpu")
    assert line.status == FAIL and "2 x H100" in line.text and "jax computes on cpu" in line.text
    assert line.remedy == f'pip install "waltzjax[{extra}]"'


@pytest.fixture
def plugin(packages, monkeypatch):
    """jax's plugin for CUDA 12 with cuDNN, both as they should be."""
    packages |= {CUDA: software.installed("jaxlib"), "nvidia-cudnn-cu12": "9.10.1"}
    wheels = [Requirement("nvidia-cudnn-cu12<10.0,>=9.8")]
    real = software._required
    monkeypatch.setattr(
        software, "_required", lambda p, extra="": wheels if p == CUDA else real(p, extra)
    )
    return packages


def test_driver_plugin_and_libraries_match(plugin):
    lines = by_name(software.cuda(H100, "gpu"))
    assert {line.status for line in lines.values()} == {OK}
    assert "driver 550.54.15" in lines[CUDA].text
    assert "nvidia-cudnn-cu12 9.10.1" in lines["CUDA libraries"].text


def test_driver_plugin_or_libraries_that_do_not_match(plugin):
    old = by_name(software.cuda(H100._replace(driver="470.1"), "gpu"))[CUDA]
    assert old.status == FAIL and "too old for CUDA 12" in old.text and "525" in old.remedy
    hidden = by_name(software.cuda(H100, "cpu"))["CUDA"]
    assert hidden.status == FAIL and "JAX_PLATFORMS" in hidden.remedy
    plugin["nvidia-cudnn-cu12"] = "9.1"
    lines = by_name(software.cuda(H100, "gpu"))
    assert lines["CUDA libraries"].status == FAIL
    assert "nvidia-cudnn-cu12 9.1 (<10.0,>=9.8)" in lines["CUDA libraries"].text
    plugin["nvidia-cudnn-cu12"] = ""
    assert by_name(software.cuda(H100, "gpu"))["CUDA libraries"].status == WARN
    plugin[CUDA] = "0.0.1"
    lines = by_name(software.cuda(H100, "gpu"))
    assert lines[CUDA].status == FAIL and "released together" in lines[CUDA].text


def test_gpus_by_nvidia_smi_and_by_the_drivers_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nvidia, "DRIVER", tmp_path / "version")
    assert nvidia.nvidia() is None
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n"
        "GCC version:  gcc version 12.3.0\n"
    )
    assert nvidia.nvidia() == Nvidia("580.65.06")
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '550.54.15, NVIDIA H100 PCIe, 81559, 4'\n")
    program.chmod(0o755)
    assert nvidia.nvidia() == Nvidia("550.54.15", ("NVIDIA H100 PCIe",), (81559,), (4,))


def test_memory_of_the_host_or_of_its_container(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 4096 kB\nMemFree: 1 kB\nMemAvailable: 2048 kB\n")
    assert machine.host_memory(tmp_path, tmp_path) == Memory(4 * 2**20, 2 * 2**20)
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.host_memory(tmp_path, tmp_path) == Memory(4 * 2**20, 2 * 2**20)
    (tmp_path / "memory.max").write_text(f"{2**20}\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert machine.host_memory(tmp_path, tmp_path) == Memory(2**20, 2**20 - 1000)
    # Of what it holds, files that nobody has read lately go as soon as memory is asked for.
    (tmp_path / "memory.stat").write_text("anon 100\nfile 900\ninactive_file 600\n")
    assert machine.host_memory(tmp_path, tmp_path) == Memory(2**20, 2**20 - 400)


def test_memory_that_is_not_there():
    needed = Needs(device=GIB, host=4 * GIB, checkpoint=0, disk=0)
    wanted = 4 + len(jax.local_devices())  # on a CPU the devices' memory is the host's
    enough, little = Memory(64 * GIB, wanted * GIB), Memory(64 * GIB, wanted * GIB - 1)
    assert [line.status for line in machine.memory_lines(needed, None, enough)] == [OK]
    [line] = machine.memory_lines(needed, None, little)
    assert line.status == FAIL and f"needs at least {wanted}.0 GiB" in line.text and line.remedy
    busy = H100._replace(used_mib=(4, 40000))
    lines = by_name(machine.memory_lines(None, busy, enough))
    assert lines["other processes"].status == WARN
    assert "GPU 1 49%" in lines["other processes"].text


def test_memory_of_devices_that_tell(monkeypatch):
    gpu = SimpleNamespace(
        platform="gpu", memory_stats=lambda: {"bytes_limit": 8 * GIB, "bytes_in_use": GIB}
    )
    monkeypatch.setattr(jax, "local_devices", lambda: [gpu, gpu])
    host = Memory(64 * GIB, 8 * GIB)
    for device, status in ((7 * GIB, OK), (7 * GIB + 1, FAIL)):
        lines = by_name(machine.memory_lines(Needs(device, 0, 0, 0), None, host))
        assert lines["device memory"].status == status
        assert lines["host memory"].status == OK
    gpu.memory_stats = lambda: None
    assert by_name(machine.memory_lines(None, None, host))["device memory"].status == WARN


def test_needs_by_hand():
    c, cfg = config(), tiny_config(dtype="float32")
    c.rollout.cache_tokens = 1024
    count = sum(x.size for x in jax.tree.leaves(sharded_params(cfg, mesh_of(1, 1, 1))))
    state = 2 * 3 * 4 * count  # two agents, each with two moments, in float32
    read = 2 * 4 * (count - 5 * 16)  # as generation reads them: no norms are multiplied
    keys_and_values = 1024 * 2 * 2 * 2 * 4 * 4
    got = needs(c, cfg, mesh_of(1, 1, 1))
    assert got.device == 4 * count + state + max(4 * count, read + keys_and_values)
    # Stage 1 trains one agent, stage 2 two; two checkpoints of each stay, one is being written.
    assert got.checkpoint == state and got.host == HOST_BASE + state
    assert got.disk == 2 * (state // 2 + state) + state + 2 * 4 * count
    halved = needs(c, cfg, mesh_of(1, 2, 1))
    assert HOST_BASE == GIB  # embedded runs peak at 1 to 2.4 GiB
    assert halved.checkpoint == state and halved.device < got.device
    assert needs(c, cfg, mesh_of(1, 1, 1), training=False)[2:] == (0, 0)


def test_a_product_is_timed_and_checked(monkeypatch):
    line = machine.product_line("float32", seconds=0.0)
    assert line.status == OK and "GFLOP/s in float32" in line.text
    rate, error = machine.multiply(jax.devices()[0], "bfloat16", 0.0)
    assert rate > 0 and 0 < error < 1e-2
    monkeypatch.setattr(jnp, "matmul", lambda a, b: (a @ b).at[3, 5].add(30.0))
    line = machine.product_line("float32", seconds=0.0)
    assert line.status == FAIL and line.text.startswith("wrong on ")


@pytest.mark.parametrize(
    ("slowest", "error", "status"), [(9e9, 1e-7, OK), (7e9, 1e-7, WARN), (9e9, float("nan"), FAIL)]
)
def test_one_device_that_is_slow_or_wrong(monkeypatch, slowest, error, status):
    results = iter([(1e10, 1e-7), (slowest, error)])
    gpu = SimpleNamespace(platform="gpu", device_kind="NVIDIA H100 PCIe")
    monkeypatch.setattr(jax, "local_devices", lambda: [gpu, gpu])
    monkeypatch.setattr(machine, "multiply", lambda *_: next(results))
    assert machine.product_line("float32").status == status


@pytest.mark.parametrize(("share", "status"), [(0.5, OK), (0.2, WARN)])
def test_a_device_that_is_far_from_its_peak(monkeypatch, share, status):
    gpu = SimpleNamespace(platform="gpu", device_kind="NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(jax, "local_devices", lambda: [gpu])
    monkeypatch.setattr(machine, "multiply", lambda *_: (share * 989.4e12, 1e-3))
    line = machine.product_line("bfloat16")
    assert line.status == status and f"{share:.0%} of the peak" in line.text


def test_a_sum_over_all_devices(monkeypatch):
    line = machine.collective_line()
    assert line.status == OK and "over 8 devices: right" in line.text
    monkeypatch.setattr(jax.lax, "psum", jax.lax.pmax)
    assert machine.collective_line().status == FAIL


def test_a_disk_that_is_written_and_left_as_it_was(tmp_path, monkeypatch):
    needed = Needs(0, 0, checkpoint=GIB, disk=5 * GIB)
    free = SimpleNamespace(free=5 * GIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    line = machine.disk_line(tmp_path / "runs/new", needed, keep=2)
    assert line.status == OK and "checkpoints of 1.0 GiB, 2 of a stage kept" in line.text
    free.free -= 1
    line = machine.disk_line(tmp_path / "runs/new", needed, keep=2)
    assert line.status == FAIL and "config.train.keep_checkpoints" in line.remedy
    assert list(tmp_path.iterdir()) == []
    line = machine.disk_line(Path("/proc/new"), needed)
    assert line.status == FAIL and line.text.startswith("/proc cannot be written")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model's directory, whole."""
    directory = tmp_path_factory.mktemp("models") / "model"
    cfg, tokenizer = tiny_config(), tiny_chat().tokenizer
    params = sharded_params(cfg, mesh_of(1, 1, 1))
    weights.save(directory, cfg, params, tokenizer, generation={})
    return directory


def model_line(directory, key="config.model.base"):
    c = config(**{"model.base": str(directory)})
    return by_name(inputs.model_lines(c, readers(c), mesh_of(1, 1, 1), None))[key]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def garble(path: Path) -> None:
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


@pytest.mark.parametrize(
    ("name", "harm", "why"),
    [
        ("config.json", Path.unlink, "no such file"),
        ("model.safetensors", Path.unlink, "no weights"),
        ("model.safetensors", truncate, "truncated, or no safetensors"),
        ("model.safetensors", garble, "truncated, or no safetensors"),
        ("tokenizer.json", truncate, "no usable tokenizer"),
    ],
)
def test_a_model_that_is_not_whole(model, tmp_path, name, harm, why):
    copy = shutil.copytree(model, tmp_path / "model")
    harm(copy / name)
    line = model_line(copy)
    assert line.status == FAIL and why in line.text and line.remedy


def test_a_model_whose_weights_are_anothers(model, tmp_path):
    assert model_line(model).status == OK
    copy = shutil.copytree(model, tmp_path / "model")
    shape = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**shape, "intermediate_size": 48}))
    assert "weights do not fit" in model_line(copy).text
    assert "neither a directory" in model_line(tmp_path / "nothing").text


def test_agents_and_a_judge_on_the_devices_are_models_too(model, tmp_path):
    c = config(**{"model.base": str(model), "model.feedback": str(tmp_path),
                  "judge.name": "wildguard", "judge.model": str(model)})  # fmt: skip
    lines = by_name(inputs.model_lines(c, readers(c), mesh_of(1, 1, 1), None))
    assert {name: line.status for name, line in lines.items()} == {
        "config.model.base": OK, "config.model.feedback": FAIL, "config.judge.model": OK,
    }  # fmt: skip


def test_adapters_are_held_to_their_base(model, tmp_path):
    form = Lora(2, 4.0, ("q",))
    adapter = init_adapter(tiny_config(), form, jax.random.key(0))
    peft.save_adapter(
        tmp_path / "adapter", adapter, form, str(model), dropout=0.0,
        tokenizer=tiny_chat().tokenizer, generation={},
    )  # fmt: skip
    c = config(**{"model.base": str(model), "model.feedback": str(tmp_path / "adapter")})
    for cfg, status in ((None, OK), (tiny_config(), OK), (tiny_config(layers=1), FAIL)):
        lines = by_name(inputs.model_lines(c, readers(c), mesh_of(1, 1, 1), cfg))
        assert lines["config.model.feedback"].status == status
    truncate(tmp_path / "adapter/adapter_model.safetensors")
    lines = by_name(inputs.model_lines(c, readers(c), mesh_of(1, 1, 1), None))
    assert "truncated" in lines["config.model.feedback"].text


def test_prompt_datasets(tmp_path):
    data = shutil.copytree(small_data(), tmp_path / "data")
    c = config(**{"data.directory": str(data)})
    lines = list(inputs.data_lines(c, readers(c)))
    assert {line.status for line in lines} == {OK}
    assert len(lines) == 5  # two prompt files, two splits, the manifest
    text = (data / "validation.jsonl").read_text()
    for content, why in (
        (text + "\n", "not the"), ("", "empty"), ("{'id': 1}\n", "not JSON"),
        ("[1]\n", "no object in it"),
        (text.replace('"label"', '"table"'), "no label in it"),
    ):  # fmt: skip
        (data / "validation.jsonl").write_text(content)
        bad = [line for line in inputs.data_lines(c, readers(c)) if line.status == FAIL]
        assert any(why in line.text for line in bad) and all(line.remedy for line in bad), why
    (data / "train.jsonl").unlink()
    (data / "manifest.json").unlink()
    bad = [line.text for line in inputs.data_lines(c, readers(c)) if line.status == FAIL]
    assert sum("no file" in text for text in bad) == 2


@pytest.mark.parametrize(
    ("path", "arg", "keys"),
    [
        ("rlvr_naive", "", {"config.problems.train", "config.problems.validation"}),
        ("regime_w_dpo", "", {"config.dpo.data", "config.problems.validation"}),
        ("regime_w_collect", "", {"config.problems.train"}),
        ("sft", "", {"config.data.directory", "config.sft.data"}),
        ("stage2", "tiny", set()),
    ],
)
def test_the_files_that_a_config_reads(path, arg, keys):
    c = config(path, arg)
    reads = COLLECT_READS if path == "regime_w_collect" else readers(c)
    assert {file.key for file in inputs.data_files(c, reads)} == keys


def judge_config(url, **more):
    return config(**{"judge.name": "openai", "judge.model": "guard", "judge.url": url, **more})


MODELS = json.dumps({"data": [{"id": "guard"}, {"id": "other"}]})


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (reply(200, MODELS), OK, "serves guard"),
        (reply(200, MODELS.replace("guard", "gourd")), WARN, "not among its models (gourd, other)"),
        (reply(200, "<html>"), WARN, "no list of models"),
        (reply(401, "{}"), FAIL, "HTTP 401, the key is refused"),
        (reply(404, "{}"), WARN, "HTTP 404; the server is there"),
    ],
)
def test_a_judge_that_answers(answer, status, text, monkeypatch):
    monkeypatch.setenv("GUARD_KEY", "secret")
    with JudgeServer(then=answer) as server:
        line = judge_line(judge_config(server.url, **{"judge.key_env": "GUARD_KEY"}))
        assert (line.status, text in line.text) == (status, True)
        [request] = server.requests
        assert (request["path"], request["key"]) == ("/v1/models", "Bearer secret")
    assert "secret" not in line.text + line.remedy


def test_a_judge_that_does_not_answer(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        line = judge_line(judge_config(url))
        assert line.status == FAIL and "refused" in line.text and "start the judge" in line.remedy
    with JudgeServer() as server:
        server.then = server.hang
        line = judge_line(judge_config(server.url), limit_s=0.2)
        assert line.status == FAIL and "timed out" in line.text
    monkeypatch.delenv("GUARD_KEY", raising=False)
    line = judge_line(judge_config(url, **{"judge.key_env": "GUARD_KEY"}))
    assert line.status == FAIL and "is not set" in line.text
    monkeypatch.setattr(urllib.request, "urlopen", None)  # nobody is asked
    assert judge_line(config()).status == OK


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://me:pass-word@127.0.0.1:1/v1", "holds a user's name or password"),
        ("me:pass-word@host", "holds a user's name or password"),
        ("127.0.0.1:1/v1", "'127.0.0.1:1/v1' is no address"),
        ("http://[::1/v1", "is no address"),
        ("", "'' is no address"),
        ("file:///etc/passwd", "is no address"),
        ("http:///v1", "is no address"),
        ("http://127.0.0.1:http/v1", "is no address"),
        ("http://127.0.0.1:1/v 1", "control characters"),
    ],
)
def test_an_address_that_cannot_be(url, text):
    line = judge_line(judge_config(url))
    assert line.status == FAIL and text in line.text and line.remedy
    assert "pass-word" not in line.text + line.remedy


def test_a_server_that_does_not_speak_http():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 mail.example.org ESMTP\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        line = judge_line(judge_config(f"http://127.0.0.1:{server.getsockname()[1]}/v1"))
        thread.join()
    assert line.status == FAIL and "ESMTP" in line.text


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(machine, "MULTIPLYING_S", 0.0)
    monkeypatch.setattr(
        doctor.machine, "product_line", lambda dtype: machine.Line("matmul", OK, dtype)
    )


def test_a_config_that_breaks_a_rule_and_a_mesh_that_is_not_there(quick, tmp_path):
    c = config(**{"mesh": (1, 9, 1), "rollout.t_max": 0})
    lines = by_name(doctor.examine(c, tmp_path))
    assert lines["config"].status == FAIL and "config.rollout.t_max" in lines["config"].text
    assert lines["mesh"].status == FAIL and "needs 9 devices" in lines["mesh"].text
    lines = by_name(doctor.examine(config(), tmp_path))
    assert lines["mesh"].status == WARN and "7 devices stay idle" in lines["mesh"].text
    assert lines["config"].text == "its rules hold; it trains stage1, stage2"
    c = config("regime_w_collect", "tiny")
    lines = by_name(doctor.examine(c, tmp_path, collects=True))
    assert lines["config"].text == "its rules hold; for waltzjax.collect"
    assert "checkpoints" not in lines["disk"].text


def test_the_machine_alone(quick, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "nvidia", lambda: None)
    assert doctor.command(None, tmp_path) == 0
    out = capsys.readouterr().out
    assert "this machine can begin a run" in out and "judge" not in out
    monkeypatch.setattr(doctor, "nvidia", lambda: H100)
    assert doctor.command(None, tmp_path) == 1
    out = capsys.readouterr().out
    assert "fail  CUDA  " in out and '-> pip install "waltzjax[cuda12]"' in out
    assert "cannot begin a run" in out and "1 to fix" in out


def test_a_platform_that_cannot_be_had(tmp_path, monkeypatch):
    def none():
        raise RuntimeError("Unable to initialize backend 'cuda':\n no such thing")

    monkeypatch.setattr(jax, "default_backend", none)
    last = doctor.examine(config(), tmp_path)[-1]
    assert (last.check, last.status) == ("devices", FAIL) and "JAX_PLATFORMS" in last.remedy


def test_the_command(tmp_path):
    done = forked.run(
        "-m", "waltzjax.plan", "--doctor", "--config=configs/stage2.py:tiny", "--json",
        f"--workdir={tmp_path}/runs", "--config.data.directory=nowhere",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    printed = json.loads(done.stdout.splitlines()[-1])
    bad = {line["check"] for line in printed["lines"] if line["status"] == FAIL}
    assert not printed["ok"] and bad == {"config.data.directory", "manifest"}
    assert list(tmp_path.iterdir()) == []
    done = forked.run("-m", "waltzjax.plan")
    assert done.returncode == 2 and "--config is missing" in done.stderr


def test_defaults_name_what_is_not_there(quick, tmp_path):
    lines = by_name(doctor.examine(defaults.default(), tmp_path))
    assert lines["config.model.base"].status == FAIL
    assert "hf download" in lines["config.model.base"].text
    assert lines["needs"].status == WARN and "needs" not in lines["host memory"].text
    lines = by_name(doctor.examine(config(stages=("stage3",)), tmp_path))
    assert lines["config"].status == FAIL and "stage3" in lines["config"].text
