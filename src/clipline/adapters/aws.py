"""Sessions with AWS: clients, credentials for storage, and what AWS's errors mean to us.

The only module that imports botocore, and only when it is needed: who works with folders alone waits for
nothing. (boto3 would hand out the same clients, a sixth slower.) Settings come from wherever AWS tools look
for them: the environment, ``AWS_PROFILE`` and the configuration files, roles, the metadata of the machine.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import urlsplit

from clipline.contract.errors import NotFound, Refused, ServiceError, Unavailable
from clipline.contract.text import shorten

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from botocore.session import Session
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

_MOST_ATTEMPTS = 3
_CONNECT_S = 3.0
_PAUSES_S = 3.0  # what standard mode waits between three attempts, at most: 1 s and 2 s
_SHORTEST_READ_S = 0.5
_MOST_CONNECTIONS = 64  # as many as a worker has threads at most; unused ones cost nothing
_CREDENTIAL_LIFE = timedelta(minutes=10)

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}", re.ASCII)
_AWS_HOST = re.compile(r"\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
_BUSY = re.compile(
    r"Throttl|TooManyRequests|LimitExceeded|OverLimit|SlowDown|PriorRequestNotComplete|RequestTimeout"
    r"|Unavailable|Internal(?:Error|Failure)"
)
_MISSING = re.compile(r"(?:^|\.)(?:NonExistentQueue|QueueDoesNotExist|NotFound(?:Exception)?|NoSuch\w+)$")
_DENIED = r"AccessDenied|AuthorizationError|Forbidden"
_HINTS = {
    _DENIED: "a policy must allow {operation} there",
    r"InvalidClientTokenId|UnrecognizedClient|InvalidAccessKeyId|SignatureDoesNotMatch|InvalidSecurity": (
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    ),
    r"ExpiredToken": "the session has expired: sign in again",
    r"RequestExpired|TimeTooSkewed|InvalidSignature": "check the keys, and this machine's clock",
}
_NO_CREDENTIALS = (
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached"
)
_LOCK = threading.Lock()  # making clients is not thread-safe, using them is


@overload
def client(
    service: Literal["sqs"], *, target: str, deadline_s: float = 30, wait_s: float = 0
) -> SQSClient: ...
@overload
def client(
    service: Literal["sns"], *, target: str, deadline_s: float = 30, wait_s: float = 0
) -> SNSClient: ...
def client(service: Any, *, target: str, deadline_s: float = 30, wait_s: float = 0) -> Any:
    """A client, safe to use from several threads, for ``target``: the URL of a queue or a topic's ARN.

    The region is the one that ``target`` names, else the configured one. A call with up to three attempts
    takes about ``deadline_s`` at most (each wait for bytes is bounded, which is enough for a service that
    does not drip on purpose); ``wait_s`` comes on top of each attempt, for long polls. Raises Refused
    without a region or credentials. That is not remembered: the next call looks for them again.
    """
    read_s = max(_SHORTEST_READ_S, (deadline_s - _PAUSES_S) / _MOST_ATTEMPTS - _CONNECT_S)
    with _LOCK, translate("connect to", target):
        from botocore.config import Config
        from botocore.exceptions import NoCredentialsError

        if session().get_credentials() is None:
            raise NoCredentialsError
        config = Config(
            connect_timeout=_CONNECT_S,
            read_timeout=read_s + wait_s,
            retries={"mode": "standard", "total_max_attempts": _MOST_ATTEMPTS},
            tcp_keepalive=True,
            max_pool_connections=_MOST_CONNECTIONS,
        )
        try:
            return session().create_client(service, region_name=region_of(target), config=config)
        except ValueError as error:  # what botocore makes of an endpoint that is no URL
            raise Refused("connect to", target, str(error), hint="check AWS_ENDPOINT_URL") from error


@cache
def session() -> Session:
    """The one session; ``session.cache_clear()`` forgets it, for tests that change the environment."""
    from botocore.session import get_session

    made = get_session()
    # botocore reads AWS_DEFAULT_REGION alone; the other tools of AWS read this one, first.
    if region := os.environ.get("AWS_REGION"):
        made.set_config_variable("region", region)
    return made


def region_of(target: str) -> str | None:
    """The region in an ARN or in the URL of a queue on AWS; None where none is named."""
    if target.startswith("arn:"):
        labels = target.split(":")[3:4]
    else:
        host = urlsplit(target).hostname or ""
        labels = host.split(".") if _AWS_HOST.search(host) else []
    return next((label for label in labels if _REGION.fullmatch(label)), None)


def s3_options() -> Mapping[str, Any]:
    """Keyword arguments for ``obstore.store.S3Store``, so that storage follows the settings of AWS too.

    obstore reads environment variables on its own, but neither profiles nor roles. Raises Refused without
    credentials.
    """
    with _LOCK, translate("find credentials for", "S3"):
        from botocore.exceptions import NoCredentialsError

        credentials = session().get_credentials()
        if credentials is None:
            raise NoCredentialsError
        region, endpoint = session().get_config_variable("region"), _s3_endpoint()

    def provide() -> dict[str, Any]:
        with translate("refresh credentials for", "S3"):
            frozen = credentials.get_frozen_credentials()
        # botocore hands out nothing that expires within ten minutes; obstore asks again after five of them.
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _CREDENTIAL_LIFE,
        }

    options: dict[str, Any] = {"credential_provider": provide}
    if region is not None:
        options["region"] = region
    if endpoint is not None:
        options["endpoint"] = endpoint
        options["virtual_hosted_style_request"] = False  # few servers but AWS's have a name per bucket
        options["client_options"] = {"allow_http": endpoint.startswith("http:")}
    return options


def _s3_endpoint() -> str | None:
    """AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or what the profile says, in botocore's order."""
    from botocore.configprovider import ConfiguredEndpointProvider

    if session().get_config_variable("ignore_configured_endpoint_urls"):
        return None
    provider = ConfiguredEndpointProvider(session().full_config, session().get_scoped_config(), "s3")
    found = provider.provide()
    return str(found) if found else None


@contextmanager
def translate(operation: str, target: str) -> Iterator[None]:
    """Turn what botocore raises into Unavailable, NotFound or Refused, in the sense of the ports."""
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    try:
        yield
    except exceptions.ClientError as error:
        raise _answered(operation, target, error) from error
    except exceptions.NoCredentialsError as error:
        raise Refused(operation, target, "no AWS credentials were found", hint=_NO_CREDENTIALS) from error
    except exceptions.NoRegionError as error:
        raise Refused(operation, target, "no AWS region is configured", hint="set AWS_REGION") from error
    except (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.IncompleteReadError,
        exceptions.CredentialRetrievalError,
        exceptions.MetadataRetrievalError,
        ResponseParserError,
    ) as error:
        raise Unavailable(operation, target, shorten(str(error), 300)) from error
    except exceptions.BotoCoreError as error:
        raise Refused(
            operation, target, shorten(str(error), 300), hint="check the settings of AWS (AWS_...)"
        ) from error


def is_denied(error: Refused) -> bool:
    """Whether the credentials are sound, but no policy allows the operation."""
    return re.match(_DENIED, error.cause) is not None


def _answered(operation: str, target: str, error: ClientError) -> ServiceError:
    code = str(error.response.get("Error", {}).get("Code", "Unknown"))
    said = str(error.response.get("Error", {}).get("Message", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    cause = shorten(f"{code}: {said}" if said else f"{code}, HTTP {status}", 300)
    if status >= 500 or status in (408, 429) or _BUSY.search(code):
        return Unavailable(operation, target, cause)
    if status == 404 or _MISSING.search(code):
        return NotFound(operation, target, cause, hint="check its name, the region and the account")
    hints = [hint for pattern, hint in _HINTS.items() if re.search(pattern, code)]
    hint = hints[0].format(operation=error.operation_name) if hints else None
    return Refused(operation, target, cause, hint=hint)
