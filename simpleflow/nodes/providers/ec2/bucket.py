"""The cluster's bucket as ``up`` and ``down --purge`` use it."""

from __future__ import annotations

from typing import Any

from simpleflow.core import text
from simpleflow.nodes import errors

from . import clients


class Bucket:
    """One bucket. Every method may be repeated."""

    def __init__(self, made: clients.Clients, name: str) -> None:
        self._clients = made
        self.name = name

    @property
    def _api(self) -> Any:
        return self._clients.get("s3")

    def url(self, key: str) -> str:
        """URL of an object, as CloudFormation takes templates from."""
        return f"https://{self.name}.s3.{self._clients.region}.amazonaws.com/{key}"

    def put_once(self, key: str, content: bytes) -> bool:
        """Upload a content-addressed object; False when it lies there already."""
        with clients.mapped(f"uploading s3://{self.name}/{key}"):
            found = self._api.list_objects_v2(Bucket=self.name, Prefix=key, MaxKeys=1).get("Contents", [])
            if any(each["Key"] == key and each["Size"] == len(content) for each in found):
                return False
            self._api.put_object(Bucket=self.name, Key=key, Body=content)
            return True

    def read(self, key: str) -> bytes | None:
        """Content of one object; None when it is absent."""
        with clients.mapped(f"reading s3://{self.name}/{key}"):
            try:
                return bytes(self._api.get_object(Bucket=self.name, Key=key)["Body"].read())
            except Exception as error:
                if clients.code_of(error) in {"NoSuchKey", "NoSuchBucket", "404"}:
                    return None
                raise

    def delete_object(self, key: str) -> None:
        """Remove one object; an absent one is not an error."""
        with clients.mapped(f"removing s3://{self.name}/{key}"):
            self._api.delete_object(Bucket=self.name, Key=key)

    def destroy(self) -> None:
        """Delete everything in the bucket, and the bucket; one that is gone is not an error.

        Raises ProviderRefused, naming the first of them, when S3 keeps objects.
        """
        with clients.mapped(f"deleting bucket '{self.name}'"):
            try:
                self._clear("")
                self._api.delete_bucket(Bucket=self.name)
            except Exception as error:
                if clients.code_of(error) != "NoSuchBucket":
                    raise

    def clear(self, prefix: str) -> None:
        """Delete every object below a prefix; raises ProviderRefused when S3 keeps some."""
        with clients.mapped(f"deleting s3://{self.name}/{prefix}"):
            self._clear(prefix)

    def _clear(self, prefix: str) -> None:
        """Go through the list once. An object that S3 refuses to delete would be listed again and again."""
        kept: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = self._api.list_objects_v2(Bucket=self.name, Prefix=prefix, **more)
            found = [{"Key": each["Key"]} for each in page.get("Contents", [])]
            if found:
                done = self._api.delete_objects(Bucket=self.name, Delete={"Objects": found, "Quiet": True})
                for each in done.get("Errors", []):
                    kept.append(f"{each.get('Key')}: {each.get('Message', 'refused')} ({each.get('Code')})")
            if not page.get("IsTruncated"):
                break
            more = {"ContinuationToken": page["NextContinuationToken"]}
        if kept:
            raise errors.ProviderRefused(
                f"s3://{self.name}/{prefix}: {text.count(len(kept), 'object')} could not be deleted, the first: "
                f"{kept[0]}; mend the right (s3:DeleteObject) or the lock, then repeat `sfnodes down --purge`"
            )

    def exists(self) -> bool:
        """Return whether the bucket exists, in this account or in another one."""
        with clients.mapped(f"looking at bucket '{self.name}'"):
            try:
                self._api.get_bucket_location(Bucket=self.name)
            except Exception as error:
                if clients.code_of(error) == "NoSuchBucket":
                    return False
                raise
        return True

    def location_problem(self) -> str:
        """Say why the user's bucket cannot be used; '' when it can."""
        with clients.mapped(f"looking at bucket '{self.name}'"):
            try:
                region = self._api.get_bucket_location(Bucket=self.name).get("LocationConstraint") or "us-east-1"
            except Exception as error:
                if clients.code_of(error) == "NoSuchBucket":
                    return f"bucket '{self.name}' does not exist; make it, or leave 'store' out: the stack makes one"
                if clients.code_of(error) in clients.DENIED | {"AllAccessDisabled"}:
                    return f"bucket '{self.name}' belongs to someone else; leave 'store' out: the stack makes one"
                raise
        if region != self._clients.region:
            return (
                f"bucket '{self.name}' lies in {region}, the cluster in {self._clients.region}; use one of the "
                "cluster's region, or leave 'store' out: the stack makes one"
            )
        return ""
