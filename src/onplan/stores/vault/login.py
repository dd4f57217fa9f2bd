"""The address and certificates of a Vault server, and the ways to sign in to it.

Options of the store spec are used first, then the variables of the ``vault`` and ``bao`` commands, then their
files. No option holds a secret.
"""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from onplan.config.environment import environment_variable
from onplan.config.file_errors import reason_of
from onplan.config.file_reading import as_utf8, read_file
from onplan.errors import ConfigurationError, StoreError
from onplan.flow import Response, require_safe_url
from onplan.secret import SecretText
from onplan.stores.vault.errors import with_status

Work = Callable[[Any], Response]
"""A call of hvac: it sends one request through the given adapter."""

TOKEN_FILE = "~/.vault-token"  # noqa: S105 - where `vault login` and `bao login` put it
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"


# What is often pasted behind an address: the API's root, or a page of the web interface.
_BEHIND_THE_ADDRESS = re.compile(r"(/+(v1|ui)(/.*)?)?/*$")


@dataclass(frozen=True)
class Server:
    """Where to send requests.

    Attributes:
        address: https, or http on this machine; without a trailing slash.
        certificates: the trusted authorities; None: the system's.
    """

    address: str
    namespace: str | None
    certificates: ssl.SSLContext | None


class Login(Protocol):
    """A way to get a token.

    Attributes:
        hint: what to do when the token is refused.
        repeatable: whether each login gives another token.
    """

    hint: str
    repeatable: bool

    def token(self, send: Callable[[Work], Response]) -> SecretText:
        """Return a token, newer than the last one if there is one. ``send`` sends a request without a token.

        Raises StoreError.
        """
        ...


def server_from(options: Mapping[str, str]) -> Server:
    """The server that the options, or else the environment, name. Raises ConfigurationError."""
    if (_variable("SKIP_VERIFY") or "").lower() in ("1", "t", "true"):
        raise ConfigurationError(
            "VAULT_SKIP_VERIFY is set, and credentials are not sent to a server that is not verified.",
            hint="Unset it, and set VAULT_CACERT to the file of the authority that signed its certificate.",
        )
    address = options["address"] or _variable("ADDR")
    if not address:
        raise ConfigurationError(
            "The vault: store has no server address.",
            hint="Set VAULT_ADDR, or write `vault:MOUNT/PATH?address=https://…`.",
        )
    address = _BEHIND_THE_ADDRESS.sub("", address)
    source = "The address in the store spec" if options["address"] else "VAULT_ADDR"
    namespace = options["namespace"] or _variable("NAMESPACE")
    return Server(require_safe_url(address, source), namespace, _certificates())


def login_from(options: Mapping[str, str]) -> Login:
    """The way to sign in that the options, or else the environment, name. Raises ConfigurationError."""
    role_id = options["role"] or _variable("ROLE_ID")
    method = options["auth"] or ("approle" if _variable("ROLE_ID") else "token")
    match method:
        case "token":
            return TokenLogin()
        case "approle" if role_id:
            return AppRoleLogin(SecretText(role_id), options["mount"] or "approle")
        case "kubernetes" if options["role"]:
            return KubernetesLogin(options["role"], options["mount"] or "kubernetes")
        case "approle" | "kubernetes":
            raise ConfigurationError(
                f"The vault: store needs a role for auth={method}.",
                hint="Write `vault:MOUNT/PATH?auth=…&role=…`, or set VAULT_ROLE_ID for approle.",
            )
    raise ConfigurationError(
        f"The vault: store cannot sign in with auth={method}.", hint="Use token, approle or kubernetes."
    )


def _variable(name: str) -> str | None:
    return environment_variable(f"VAULT_{name}") or environment_variable(f"BAO_{name}")


def _certificates() -> ssl.SSLContext | None:
    """As the ``vault`` command: a file, or each file of a folder, instead of the system's authorities."""
    file, folder = _variable("CACERT"), _variable("CAPATH")
    if not file and not folder:
        return None
    from onplan.transports.ca_files import trust

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with contextlib.suppress(OSError):  # a missing file, or one that is no PEM; ssl.SSLError is an OSError
        for candidate in [Path(file)] if file else sorted(Path(folder or "").iterdir()):
            with contextlib.suppress(OSError):
                trust(context, candidate)
    if not context.cert_store_stats()["x509"]:
        name = "VAULT_CACERT" if file else "VAULT_CAPATH"
        raise ConfigurationError(f"{name} is {file or folder}, and no certificate can be read there.")
    return context


# --- signing in ---------------------------------------------------------------------------------------


class TokenLogin:
    """A token from a variable or a file."""

    hint = "Run `bao login` (or `vault login`), or set VAULT_TOKEN to a new token."
    repeatable = False

    def __init__(self) -> None:
        self._known: SecretText | None = None  # not a wrapping token

    def token(self, send: Callable[[Work], Response]) -> SecretText:
        """From VAULT_TOKEN, the file that VAULT_TOKEN_FILE names, or the file that ``vault login`` writes."""
        given, named = _variable("TOKEN"), _variable("TOKEN_FILE")
        source = "VAULT_TOKEN" if given else named or TOKEN_FILE
        token = SecretText(given) if given else _read(source, required=bool(named))
        del given
        if not token:
            raise StoreError("There is no token for the Vault server.", hint=self.hint)
        token = _clean(token, source)
        if token != self._known:
            if is_wrapping_token(send, token):
                raise wrapped(source, "token")
            self._known = token
        return token


@dataclass(frozen=True)
class AppRoleLogin:
    """A role ID, and a secret ID from VAULT_SECRET_ID or the file that VAULT_SECRET_ID_FILE names."""

    role_id: SecretText
    mount: str
    hint = "Set VAULT_ROLE_ID, and VAULT_SECRET_ID to a new secret ID."
    repeatable = True

    def token(self, send: Callable[[Work], Response]) -> SecretText:
        """Sign in."""
        given, file = _variable("SECRET_ID"), _variable("SECRET_ID_FILE")
        secret_id = SecretText(given) if given else _read(file, required=True) if file else None
        del given

        def work(adapter: Any) -> Response:
            from hvac.api.auth_methods import AppRole  # type: ignore[import-untyped]

            answer: Response = AppRole(adapter).login(
                self.role_id, secret_id, use_token=False, mount_point=self.mount
            )
            return answer

        answer = send(work)
        if secret_id and not answer.ok and is_wrapping_token(send, secret_id):
            raise wrapped(file or "VAULT_SECRET_ID", "secret_id")
        return _token_in(answer, "role ID and secret ID", self.hint, self.role_id, secret_id)


@dataclass(frozen=True)
class KubernetesLogin:
    """The service account of the pod that the program runs in."""

    role: str
    mount: str
    hint = "Check that the role is bound to the pod's service account and namespace."
    repeatable = True

    def token(self, send: Callable[[Work], Response]) -> SecretText:
        """Sign in. The service account's token is read each time, because the cluster replaces it."""
        file = _variable("KUBERNETES_TOKEN_FILE") or _SERVICE_ACCOUNT
        jwt = _read(file, required=True)

        def work(adapter: Any) -> Response:
            from hvac.api.auth_methods import Kubernetes

            answer: Response = Kubernetes(adapter).login(
                self.role, jwt, use_token=False, mount_point=self.mount
            )
            return answer

        return _token_in(send(work), f"service account for the role {self.role}", self.hint, jwt)


def is_wrapping_token(send: Callable[[Work], Response], token: SecretText) -> bool:
    """Whether ``token`` is a wrapping token. To look it up does not use it up; a request with it would."""

    def work(adapter: Any) -> Response:
        answer: Response = adapter.post("/v1/sys/wrapping/lookup", json={"token": token})
        return answer

    found = send(work).json()
    return (
        isinstance(found, dict) and isinstance(found.get("data"), dict) and "creation_path" in found["data"]
    )


def wrapped(source: str, what: str) -> StoreError:
    """The error for a wrapping token: it gives its content once, and the next start would need it again."""
    return StoreError(
        f"{source} holds a wrapping token, which can be used only once, instead of the token that it wraps.",
        hint=f"Unwrap it with `bao unwrap -field={what}` (or `vault unwrap`), and put the result there.",
    )


def _token_in(answer: Response, shown: str, hint: str, *sent: SecretText | None) -> SecretText:
    token = _client_token(answer)
    if token is None:
        refused = StoreError(
            f"The Vault server does not accept the {shown} ({with_status(answer)}).",
            hint=hint,
            status_code=answer.status,
        )
        refused.hide(*sent)
        raise refused
    return token


def _client_token(answer: Response) -> SecretText | None:
    try:
        return SecretText(answer.json()["auth"]["client_token"]) if answer.ok else None
    except (TypeError, KeyError):
        return None


def _read(file: str, *, required: bool) -> SecretText | None:
    try:
        return SecretText(as_utf8(read_file(Path(file).expanduser())).decode().strip()) or None
    except FileNotFoundError:
        if not required:
            return None
        reason = "there is no such file"
    except OSError as error:
        reason = reason_of(error)
    except (UnicodeError, RuntimeError):
        reason = "it cannot be read"
    raise StoreError(
        f"{file}, which is needed to sign in to Vault, cannot be read: {reason}.", hint="Correct its path."
    )


def _clean(token: SecretText, source: str) -> SecretText:
    """Check that ``token`` can be sent in a header. Raises StoreError."""
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise StoreError(f"{source} does not hold a Vault token.", hint=TokenLogin.hint)
    return token
