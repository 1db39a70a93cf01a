"""botocore's service models: the one source of names, protocols and shapes on the emulated wire."""

from __future__ import annotations

import functools
import os

import boto3
import botocore.model
import botocore.session

#: credential scope -> botocore's name, where the two differ
SIGNING_NAMES = {"monitoring": "cloudwatch"}


#: neither the shell's AWS_PROFILE (an unknown one would fail every client) nor the user's files count here
_OWN_FILES = {"profile": None, "config_file": os.devnull, "credentials_file": os.devnull}


def blank() -> botocore.session.Session:
    """A new session that reads no profile and no configuration of the user's."""
    return botocore.session.Session({name: (None, None, value, None) for name, value in _OWN_FILES.items()})


@functools.cache
def session() -> boto3.Session:
    """One boto3 session for the process: it has no credentials, and models are read from disk once."""
    return boto3.Session(botocore_session=blank())


@functools.cache
def _untouched() -> botocore.session.Session:
    # clients of S3 rewrite the URIs of the models that they share with their session
    return blank()


@functools.cache
def service(name: str) -> botocore.model.ServiceModel:
    """Load the model of one service by botocore's name; raises botocore's UnknownServiceError."""
    return _untouched().get_service_model(name)


def protocol(name: str) -> str:
    """The protocol that boto3 speaks to this service: ``ec2``, ``query``, ``json``, ``rest-xml``, ..."""
    model = service(name)
    return str(model.resolved_protocol)


def operation(name: str, action: str) -> botocore.model.OperationModel | None:
    """The model of one action, or None when the service has no such action."""
    model = service(name)
    return model.operation_model(action) if action in model.operation_names else None
