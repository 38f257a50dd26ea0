"""The gateway process, and the only place that chooses adapters. ``python -m fargate_proxy --help``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from pydantic import BaseModel

from blastwall import registry
from blastwall.config.bundle import Bundle, load_bundle
from blastwall.config.deployed import load_deployed
from blastwall.config.model import Config
from blastwall.conversation import ProtocolSpec
from blastwall.errors import ConfigFault, Fault, RecordingFault
from blastwall.local.finisher import Finisher
from blastwall.local.recordings import Shelf
from blastwall.local.sessions import LocalSessions
from blastwall.local.signer import load_signer
from blastwall.settings import ProxySettings
from blastwall.wire.tls import check_bundle
from fargate_proxy.alone import keep_out
from fargate_proxy.check import examine
from fargate_proxy.failures import TALLY
from fargate_proxy.gateway import Gateway, Ports
from fargate_proxy.health import Health
from fargate_proxy.kept import Kept
from fargate_proxy.listener import FAREWELL_SECONDS, Listener, address_of, bind
from fargate_proxy.local import Parts as LocalParts
from fargate_proxy.local import compose
from fargate_proxy.proxied import NotProxied, announced
from fargate_proxy.pulse import Pulse
from fargate_proxy.sparing import Sparing
from fargate_proxy.threads import widen
from fargate_proxy.tls import certificate_ends, server_context
from fargate_proxy.watch import Reloads, finish_for_ever, lasting

if TYPE_CHECKING:
    from fargate_proxy.aws import Parts as AwsParts

log = logging.getLogger("blastwall")

#: Exit codes: 2 the configuration is wrong, 3 the machine refused (a port, a file).
CONFIG_EXIT, MACHINE_EXIT = 2, 3


def main(argv: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. SIGHUP, or a changed file in the configuration folder, reloads."""
    settings, checking = _settings(argv)
    handler = logging.StreamHandler(sys.stderr)
    sparing = Sparing(handler.emit)
    handler.addFilter(sparing)
    logging.basicConfig(handlers=[handler], level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if checking:
        return _check(settings)
    try:
        if settings.config_url:
            _fetch(settings)
        check_bundle(os.environ)
        if settings.adapters == "aws":
            keep_out()  # it was started with keys, and starts processes that read what agents write
        kept = Kept(settings, os.environ)
        uvloop.run(_run(settings, _load(settings, kept), kept, sparing))
    except ConfigFault as fault:
        sys.stderr.write(f"{fault}\n")
        return CONFIG_EXIT
    except (OSError, ValueError, Fault) as fault:
        sys.stderr.write(f"the gateway cannot start: {fault}\n")
        return MACHINE_EXIT
    return 0


def _check(settings: ProxySettings) -> int:
    """What an image's build and a deployment ask before anything starts: 0, or 1 and why not."""
    try:
        sys.stdout.write(f"{examine(settings, load_bundle(settings.config_path), os.environ)}\n")
    except (Fault, ValueError, ImportError) as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    return 0


def _settings(argv: list[str] | None) -> tuple[ProxySettings, bool]:
    known = ProxySettings.from_env(os.environ)
    parser = argparse.ArgumentParser("python -m fargate_proxy", description="The Blastwall gateway process.")
    parser.add_argument("--config", default=known.config, help="configuration folder")
    parser.add_argument("--overrides", default=known.overrides, help="JSON merged into gateway.yaml")
    parser.add_argument("--state", default=known.state, help="folder of the local adapters")
    parser.add_argument("--drain-seconds", type=float, default=known.drain_seconds)
    parser.add_argument("--ready-fd", type=int, default=known.ready_fd, help="told where the gateway listens, as JSON")
    parser.add_argument("--check", action="store_true", help="say whether it could start here, and exit")
    given = vars(parser.parse_args(argv))
    checking = given.pop("check")
    return replace(known, **given), checking


def _load(settings: ProxySettings, kept: Kept) -> Bundle:
    overrides: Mapping[str, Any] | None = None
    if settings.overrides:
        overrides = json.loads(Path(settings.overrides).read_text("utf-8"))
    if settings.config_version:  # overrides are this process's own: the version is that of what was deployed
        load_deployed(settings.config_path, settings.config_version, settings.config_url)
    return kept.adopt(load_bundle(settings.config_path, overrides, settings.overrides or "overrides"))


def waiting(started: Config, now: Config) -> Sequence[str]:
    """The sections in which the configuration differs from the one that the process was started with, and that it only
    then looks at. The approval page and notices are those of `blastwall up`, which looks once, too."""
    found = ["identity on the approval page"] if _differ(started, now, "identity") else []
    found += [name for name in ("listen", "tls", "insecure_local", "protocols") if _differ(started, now, name)]
    return found + [
        f"approvals.{name}" for name in ("page", "notify") if _differ(started.approvals, now.approvals, name)
    ]


def _differ(one: BaseModel, other: BaseModel, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _fetch(settings: ProxySettings) -> None:
    from blastwall.aws.clients import client  # here, like all of AWS: a local gateway starts without its library
    from blastwall.aws.configuration import fetch

    fetch(client("s3"), settings.config_url, settings.config_path)


def _compose(settings: ProxySettings, bundle: Bundle) -> LocalParts | AwsParts:
    if settings.adapters != "aws":
        return compose(bundle, settings.state_path, os.environ)
    from fargate_proxy import aws

    return aws.compose(bundle, settings, os.environ)


async def _run(settings: ProxySettings, bundle: Bundle, kept: Kept, sparing: Sparing) -> None:
    loop = asyncio.get_running_loop()
    widen(loop)
    parts = _compose(settings, bundle)
    ports = Ports(
        parts.verifier, parts.vendor, parts.people, parts.sessions, parts.recorder, parts.clock, parts.capsules
    )
    ends_at = certificate_ends(bundle.config.tls, os.environ)
    gateway = Gateway(bundle, ports, server_context(bundle.config.tls, os.environ))
    if not isinstance(parts, LocalParts):
        parts.join(bundle.config.listen, gateway.shared)
    health = Health()
    pulse = Pulse(
        gateway.watch.live,
        parts.clock.now,
        sys.stdout,
        os.environ.get("ECS_AGENT_URI", ""),
        certificate_ends=ends_at,
        happened=TALLY.take,
    )
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)

    async def load() -> Sequence[str]:
        loaded = await asyncio.to_thread(_load, settings, kept)
        parts.adopt(loaded)
        gateway.adopt(loaded)
        return waiting(bundle.config, loaded.config)

    reloads = Reloads(load)
    loop.add_signal_handler(signal.SIGHUP, reloads.ask)
    ends = [registry.protocol(name).start() for name in bundle.config.listen]
    listeners, listening = _listen(gateway, bundle, settings.proxy_protocol)
    if settings.health_port:
        await health.listen(next(iter(bundle.config.listen.values())).host, settings.health_port)
        health.ready()
    endings, watch = gateway.endings, gateway.watch
    lasts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
        ("flushing", watch.flush_lazily),
        ("looking for changes", lambda: watch.reload_on_change(settings.config_path, reloads.asked)),
        ("loading the configuration anew", reloads.serve),
        ("following the trail", parts.follower.keep),
        ("counting lines of the log", sparing.settle_for_ever),
        ("counting refused logins", gateway.journal.settle_for_ever),
    ]
    if not isinstance(parts, LocalParts):  # functions sweep, reclaim and finish there
        lasts.append(("the pulse", pulse.beat_for_ever))
    else:
        local = parts
        finisher = Finisher(Shelf(settings.state_path), parts.clock, signer=load_signer(settings.state_path / "keys"))
        lasts += [
            ("sweeping", lambda: _sweep(local.sessions)),
            ("reclaiming", lambda: endings.reclaim_for_ever(local.vendor.reclaim)),
            ("denying", lambda: endings.reclaim_for_ever(local.vendor.reclaim_keys, local.sessions.changed)),
            ("finding strays", lambda: endings.reclaim_for_ever(local.strays.sweep, lambda _: asyncio.sleep(60))),
            ("finishing", lambda: finish_for_ever(finisher)),
        ]
    beside = [asyncio.create_task(lasting(name, work)) for name, work in lasts]
    gc.collect()
    gc.set_threshold(50_000, 20, 100)  # statements leave no cycles behind: look for some far less often
    gc.freeze()  # what start-up made lives as long as the process: the collector need not look at it again
    _tell(settings.ready_fd, listening)
    await stop.wait()
    health.drain()
    for listener in listeners:
        listener.stop()
    await gateway.watch.empty(settings.drain_seconds)
    gateway.watch.drain()
    await asyncio.gather(*(listener.finish(FAREWELL_SECONDS) for listener in listeners))
    for task in beside:
        task.cancel()
    await gateway.endings.finish(parts.vendor.close)
    for end in ends:
        end()
    await health.close()
    with contextlib.suppress(RecordingFault):  # what it held was recorded when it was noted
        await asyncio.to_thread(gateway.journal.close, "the gateway stopped")
    parts.close()
    for name in (signal.SIGTERM, signal.SIGINT):  # whoever asks again gets the end that is on its way
        loop.remove_signal_handler(name)
        signal.signal(name, signal.SIG_IGN)


def _listen(gateway: Gateway, bundle: Bundle, proxied: bool) -> tuple[list[Listener], dict[str, str]]:
    listeners: list[Listener] = []
    listening: dict[str, str] = {}
    for name, address in bundle.config.listen.items():
        spec = registry.protocol(name)
        sock = bind(f"{address.host}:{address.port}")

        async def serve(accepted: socket.socket, spec: ProtocolSpec = spec) -> None:
            try:
                client_address = await announced(accepted) if proxied else ""
            except (NotProxied, OSError, TimeoutError) as fault:
                log.info("a connection was not taken: %s", fault)
                accepted.close()
                return
            await gateway.serve(accepted, spec, client_address)

        listener = Listener(sock, serve)
        listener.start()
        listeners.append(listener)
        listening[name] = address_of(sock)
        log.info("%s at %s", name, listening[name])
    return listeners, listening


async def _sweep(sessions: LocalSessions) -> None:
    """Detach the connections of processes that died."""
    while True:
        with contextlib.suppress(Fault):
            await sessions.sweep()
        await asyncio.sleep(10)


def _tell(descriptor: int, listening: Mapping[str, str]) -> None:
    if descriptor >= 0:
        with os.fdopen(descriptor, "w") as ready:
            ready.write(json.dumps({"listening": listening}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
