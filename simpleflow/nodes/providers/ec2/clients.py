"""boto3 clients of one region, made when first used. No type of botocore is known outside this folder."""

from __future__ import annotations

import difflib
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from simpleflow.core import retries as policy
from simpleflow.data import aws
from simpleflow.nodes import errors


class Clients(Protocol):
    """Makes clients of services. Thread safe."""

    region: str

    def get(self, service: str, *, retries: bool = True) -> Any:
        """A client; without ``retries`` a call is sent once and never again."""


#: seconds until a connection stands, until an answer comes, and the same of a launch of many machines at once
_CONNECT, _ANSWER, _LAUNCHED = 10, 20, 60


class BotoClients:
    """Clients with the credentials that boto3 finds. No region is taken from metadata: it must be given."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._lock = threading.Lock()
        self._made: dict[tuple[str, bool], Any] = {}
        #: shared by all clients: each session reads the list of regions and the models anew
        self._session: Any = None

    def get(self, service: str, *, retries: bool = True) -> Any:
        """A client of a service, one per process."""
        import boto3
        import botocore.config

        # ``max_attempts: 1`` would mean two tries; ``total_max_attempts`` counts tries. Repetitions are ours.
        tries = {"total_max_attempts": 1}
        wait = _ANSWER if retries else _LAUNCHED
        settings = botocore.config.Config(retries=tries, connect_timeout=_CONNECT, read_timeout=wait)  # type: ignore[arg-type]  # boto3-stubs lack total_max_attempts
        with self._lock, mapped(f"making a client of {service}"):
            if (service, retries) not in self._made:
                # A session of our own: boto3's default session is not thread safe while clients are made.
                self._session = self._session or boto3.session.Session()
                made = self._session.client(service, region_name=self.region, config=settings)
                # A launch is sent once, and its last moment is of this machine's clock.
                aws.attend(made, lambda: boto3.session.Session().get_credentials(), clock=retries)
                if retries:
                    aws.repeat(made, PATIENCE, final=CAPACITY | DENIED | TOKEN_USED | QUOTAS)
                self._made[service, retries] = made
            return self._made[service, retries]


#: seconds that a call is repeated: a pass of the manager must not take longer than its lease
PATIENCE = policy.Patience(unclear=15.0, unreached=5.0, refused=2.0)
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
UNKNOWN_KEYS = frozenset(
    {"AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId",
     "SignatureDoesNotMatch"}
)  # fmt: skip
DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
#: a call with this token was carried out before; its tag tells what it launched
TOKEN_USED = frozenset({"IdempotentParameterMismatch", "IdempotentInstanceTerminated"})
#: refusals that EC2 answers with a status of 5xx although nothing was done
CAPACITY = frozenset(
    {"InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity",
     "InsufficientCapacity", "UnfulfillableCapacity", "Unsupported"}
)  # fmt: skip

#: what botocore lists as throttling is a number of things that an account may have elsewhere
QUOTAS = frozenset({"LimitExceededException"})


@functools.cache
def _regions() -> frozenset[str]:
    """Every region that the installed boto3 knows; reading them takes 0.2 s."""
    import botocore.session

    session = botocore.session.get_session()
    partitions = session.get_available_partitions()
    return frozenset(name for each in partitions for name in session.get_available_regions("ec2", partition_name=each))


def region_problem(region: str) -> str:
    """Say what is wrong with the name of a region; '' when boto3 knows it. No request is sent."""
    known = _regions()
    if region in known:
        return ""
    close = difflib.get_close_matches(region, sorted(known), 1)
    meant = f"; did you mean '{close[0]}'?" if close else ""
    return f"region '{region}' is unknown to the installed boto3 (one newer than it needs an upgrade){meant}"


class TooLate(Exception):
    """Raised at the last hook before the wire, when a signed request is older than its last moment."""


code_of = aws.code_of


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """Turn botocore's errors into ours: refused (nothing was done), throttled, or unclear (it may have been done)."""
    import botocore.exceptions as theirs

    try:
        yield
    except TooLate as error:
        raise errors.ProviderRefused(f"{what}: {error}") from error
    except theirs.ClientError as error:
        raise _of_answer(what, error) from error
    except (theirs.NoCredentialsError, theirs.PartialCredentialsError) as error:
        raise errors.ProviderRefused(
            f"{what}: no AWS credentials were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or run where an instance profile gives them"
        ) from error
    except (theirs.SSOError, theirs.TokenRetrievalError, theirs.CredentialRetrievalError) as error:
        raise errors.ProviderRefused(
            f"{what}: credentials could not be renewed ({error}); `aws sso login`, then repeat"
        ) from error
    except theirs.ProfileNotFound as error:
        raise errors.ProviderRefused(f"{what}: {error}; see `aws configure list-profiles`") from error
    except (theirs.ParamValidationError, theirs.NoRegionError, theirs.InvalidRegionError) as error:
        raise errors.ProviderRefused(f"{what}: {error}") from error
    except theirs.EndpointConnectionError as error:
        raise errors.ProviderUnclear(f"{what}: {error}; is the region's name right, and the network up?") from error
    except (theirs.BotoCoreError, theirs.HTTPClientError) as error:
        raise errors.ProviderUnclear(
            f"{what}: no answer came ({error}); is the network up, and does a proxy or firewall let AWS through?"
        ) from error
    except Exception as error:  # raised by parsers for bytes that are not an answer
        if isinstance(error, TypeError) or aws.kind_of(error) is policy.Kind.VERDICT:
            raise
        raise errors.ProviderUnclear(
            f"{what}: an answer came that is not one of AWS's ({error!r}); does a proxy answer, or AWS_ENDPOINT_URL "
            "name another service?"
        ) from error


def _of_answer(what: str, error: Any) -> errors.NodesError:
    code = code_of(error)
    message = error.response.get("Error", {}).get("Message", "")
    text = f"{what}: {message or 'refused'} ({code})"
    if code in policy.THROTTLING - QUOTAS:
        return errors.ProviderThrottled(text)
    if code in TOKEN_USED:
        return errors.ProviderUnclear(text)
    if code in EXPIRED:
        return errors.ProviderRefused(f"{what}: the credentials have expired; renew them, then repeat ({code})")
    if code in UNKNOWN_KEYS:
        return errors.ProviderRefused(
            f"{what}: AWS does not know these credentials, or not in this region; check AWS_PROFILE and region ({code})"
        )
    if code in DENIED:
        return errors.ProviderRefused(f"{text}; your credentials lack this right, see docs/how-to/aws.md")
    if aws.kind_of(error, final=CAPACITY) is policy.Kind.UNCLEAR:  # 5xx, or a page that a proxy sent
        return errors.ProviderUnclear(text)
    return errors.ProviderRefused(text)
