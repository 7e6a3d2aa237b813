"""Networks of proxies whose word about a client is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from fastvideo.api.errors import ConfigValidationError


def is_trusted(peer: str, trusted_proxies: Sequence[str]) -> bool:
    """Whether ``peer`` is in one of these networks."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        # A Unix socket, or a test's name.
        return False
    networks = (ipaddress.ip_network(network) for network in trusted_proxies)
    return any(address.version == network.version and address in network for network in networks)


def check_networks(networks: list[str], path: str) -> None:
    """Raise ConfigValidationError for what is neither an address nor a network."""
    for index, network in enumerate(networks):
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise ConfigValidationError(
                f"{path}[{index}]", f"expected an address or a network such as 10.0.0.0/8, got {network!r}"
            ) from None
