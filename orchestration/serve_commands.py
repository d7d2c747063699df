"""`weft serve`: one service of the platform in this process, for those who do not start all of it with `weft up`."""

from typing import Annotated

import typer

from orchestration.resources import build_platform

serve = typer.Typer(no_args_is_help=True)

Host = Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's.")]


@serve.command()
def collector(
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Default: WEFT_COLLECTOR_PORT; 0 takes a free one.", min=0, max=65535)
    ] = None,
) -> None:
    """Take events over HTTP. Starts the event log where WEFT_LOG_URL is not set and nobody runs it."""
    from orchestration.serving import run_collector

    platform = build_platform()
    run_collector(
        platform,
        host=host,
        port=platform.settings.collector_port if port is None else port,
        on_started=lambda port: typer.echo(f"Collector  {_address(host, port)}"),
    )


@serve.command()
def normaliser() -> None:
    """Turn requests of the event log into events that a run lands. One at a time is enough; a second one changes nothing."""
    from orchestration.serving import run_normaliser

    run_normaliser(build_platform(), lambda: typer.echo("Normaliser works."))


@serve.command()
def shop(
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Default: WEFT_SHOP_PORT; 0 takes a free one.", min=0, max=65535)
    ] = None,
    collector: Annotated[
        str | None, typer.Option(help="The collector's address as browsers reach it. Default: this machine's.")
    ] = None,
) -> None:
    """Show the demo shop, whose pages carry the tracker. Its write key (source web) is made by itself, once."""
    from orchestration.serving import run_shop
    from orchestration.shop_key import shop_key

    platform = build_platform()
    run_shop(
        collector_url=collector or f"http://127.0.0.1:{platform.settings.collector_port}",
        write_key=shop_key(platform),
        host=host,
        port=platform.settings.shop_port if port is None else port,
        on_started=lambda port: typer.echo(f"Demo shop  {_address(host, port)}"),
    )


@serve.command()
def api(
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="Default: WEFT_API_PORT; 0 takes a free one.", min=0, max=65535)
    ] = None,
) -> None:
    """Answer questions about profiles and audiences over HTTP, from Redis. Starts it where REDIS_URL is not set and nobody runs it."""
    from orchestration.api_service import run_api

    platform = build_platform()
    run_api(
        platform,
        host=host,
        port=platform.settings.api_port if port is None else port,
        on_started=lambda port: typer.echo(f"API        {_address(host, port)}"),
    )


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
