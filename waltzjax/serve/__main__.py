"""Serve: an OpenAI-compatible endpoint whose answers a feedback agent reviews.

    python -m waltzjax.serve --config=configs/serve.py:tiny --workdir=runs/demo
    curl http://127.0.0.1:8000/readyz

--workdir takes the agents of a run with its prompts and its sampling; --config.serve.conversation
and --config.serve.feedback name others, config.serve.upstream a conversation agent that is served
elsewhere. waltzjax/serve/README.md has the endpoints, the flags and what a response says.

It listens at once; requests get 503 until the agents are loaded. SIGTERM, Ctrl-C or a terminal that
is closed: new requests are turned away, those under way are finished within config.serve.drain_s; a
second one ends at once. Exit status 143, 130 or 129 then; 1 an error, said in one message; 2 a
command line that cannot be.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import ConfigDict, config_flags

from waltzjax.config.key import SERVE_READS
from waltzjax.recipes import validate
from waltzjax.run import cli
from waltzjax.serve.run_directory import served_config
from waltzjax.serve.service import FlagsLike, GuardLike, Settings
from waltzjax.support import console
from waltzjax.support.signals import Stopped

if TYPE_CHECKING:
    from waltzjax.serve.server import Server

INSTALL = "pip install 'waltzjax[serve]'"


def main() -> None:
    config = chosen_config()
    try:
        serve(config)
    except ModuleNotFoundError as error:
        raise ImportError(f"serving needs {error.name}: {INSTALL}") from error


def serve(config: ConfigDict) -> None:
    """Serve until a signal ends it.

    Raises:
      ValueError, OSError, ImportError: keys, rules, flags or files cannot be read, the address
        cannot be taken.
      Stopped: by a signal.
    """
    from waltzjax.serve.app import make_app  # not on import: the extra serve
    from waltzjax.serve.guard import Guard
    from waltzjax.serve.keys import check_host, read_keys
    from waltzjax.serve.server import Server, address_of, bound_socket, signals_to

    settings = settings_of(config)
    keys = read_keys(config.serve.key_env, os.environ)
    check_host(settings.host, keys)
    with (
        contextlib.ExitStack() as guards,  # left last: who is answered has a guard
        bound_socket(settings.host, config.serve.port) as listener,
    ):
        app = make_app(None, settings, keys)
        server = Server(app, app.state.service.traffic, config.serve.drain_s)

        def end(signum: int, frame: FrameType | None) -> None:
            server.handle_exit(signum, frame)
            if app.state.service.loaded is None:  # there is nothing to finish
                raise stopped(server)

        with signals_to(end), server.in_thread(listener) as served:
            guard = Guard(config=config)
            guards.callback(guard.close)
            app.state.service.loaded = guard
            tell_start(address_of(listener), guard, settings, len(keys))
            served.result()
    if server.received:
        raise stopped(server)


def stopped(server: Server) -> Stopped:
    """The end of a server by a signal."""
    name = signal.Signals(server.received).name
    return Stopped(f"stopped by {name}: {server.cut} requests were cut", server.received)


def chosen_config() -> ConfigDict:
    """The config of the command line; one that cannot be ends the program."""
    f = flags.FLAGS
    if not f.config:
        cli.usage("--config is missing; configs/serve.py is one")
    config = cli.chosen_config(lambda _: SERVE_READS)
    if f.workdir:
        given = config_flags.get_override_values(f["config"])
        config = served_config(config, Path(f.workdir), given)
    validate(config, reads=SERVE_READS)
    return config


def settings_of(config: ConfigDict) -> Settings:
    """The settings of the HTTP service."""
    serve, rollout = config.serve, config.rollout
    return Settings(
        model_name=serve.model_name,
        host=serve.host,
        max_requests=serve.max_requests,
        max_body_bytes=serve.max_body_bytes,
        max_messages=serve.max_messages,
        max_new_tokens=rollout.max_new_tokens,
        temperature=serve.temperature,
        top_p=rollout.top_p,
        speculative=serve.speculative,
        cors=tuple(serve.cors),
        audit=serve.audit,
        audit_text=serve.audit_text,
    )


def tell_start(address: str, guard: GuardLike, settings: Settings, keys: int) -> None:
    """Say where the service is, what it does and how to try it."""
    status = guard.status()
    stage = f"{status.stage}" + (f", because {status.degraded}" if status.degraded else "")
    asked = f"{keys} API keys" if keys else "nobody: whoever is on this machine may ask"
    header = ' -H "Authorization: Bearer KEY"' if keys else ""
    body = (
        f'{{"model": "{settings.model_name}", "messages": [{{"role": "user", "content": "Hi"}}]}}'
    )
    rows = {
        "agents": ", ".join(status.models) or "none",
        "stage": stage,
        "flags": flags_line(guard.flags),
        "keys": asked,
        "audit": settings.audit or "none",
        "figures": f"{address}/metrics",
        "ready": f"{address}/readyz says when",
        "try": f"curl {address}/v1/chat/completions{header} "
        f"-H 'Content-Type: application/json' -d '{body}'",
    }
    lines = [f"{settings.model_name} is served at {address}/v1; Ctrl-C ends"]
    console.say("\n".join([*lines, *(f"  {name:8}{text}" for name, text in rows.items())]))


def flags_line(now: FlagsLike) -> str:
    """The flags in one line."""
    policy = ", ".join(f"{category}={action}" for category, action in now.policy.items())
    return (
        f"enable {now.enable}, stage {now.stage}, rollout_pct {now.rollout_pct}, blocking "
        f"{now.blocking}, feedback_only {now.feedback_only}, policy {policy or 'none'}"
    )


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A file of configs/, with overrides.")
    flags.DEFINE_string(
        "workdir", "", "Directory of a run whose agents are served, with its prompts and sampling."
    )
    cli.run(main)
