"""Boots a disk image as a virtual machine: QEMU under UEFI firmware, NVMe, serial console, software emulation.

KVM is not used even where /dev/kvm exists: it may create machines that boot nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import time
import uuid
from pathlib import Path

from simpleflow.ami import errors, tools

from .network import Network

_PANIC = "Kernel panic"


class Machine:
    """One booted virtual machine. A context manager; leaving it ends QEMU."""

    def __init__(self, image: Path, network: Network, folder: Path, *, size_gib: int, identity: uuid.UUID) -> None:
        """Prepare an overlay of ``size_gib`` in ``folder``; the image is not changed.

        ``identity`` becomes the machine's SMBIOS uuid (its first three bytes are replaced: EC2 is recognised by
        'ec2') and by that its machine-id. An overlay that exists is used again, as after a reboot.
        """
        tools.need(tools.VM, "booting a virtual machine")
        for each in tools.FIRMWARE:
            if not each.exists():
                raise errors.MissingTools(f"booting under UEFI needs {each} (ovmf): run scripts/ami-setup as root")
        self.network, self.folder = network, folder
        self.console = folder / "console.log"
        self.overlay = folder / "overlay.qcow2"
        self.variables = folder / "firmware-variables.fd"
        self.smbios = f"ec2{str(identity)[3:]}"
        self._process: subprocess.Popen[bytes] | None = None
        log = tools.Log(path=folder / "qemu-img.log")
        if not self.overlay.exists():
            log.run(
                ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.resolve()),
                 str(self.overlay), f"{size_gib}G"]
            )  # fmt: skip
            shutil.copyfile(tools.FIRMWARE[1], self.variables)

    def __enter__(self) -> Machine:
        argv = [
            "qemu-system-x86_64",
            "-M", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "Nehalem", "-smp", "2", "-m", "1024",
            "-drive", f"if=pflash,format=raw,readonly=on,file={tools.FIRMWARE[0]}",
            "-drive", f"if=pflash,format=raw,file={self.variables}",
            "-drive", f"if=none,id=root,format=qcow2,cache=unsafe,file={self.overlay}",
            "-device", "nvme,drive=root,serial=vol00000000000000000",
            # The user network sends what is not its own on to the namespace, where the metadata server listens.
            "-netdev", "user,id=net",
            "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-rng-pci",
            "-smbios", f"type=1,uuid={self.smbios},serial={self.smbios},manufacturer=Amazon EC2,product=m5.large",
            "-serial", f"file:{self.console}", "-display", "none", "-monitor", "none", "-no-reboot",
        ]  # fmt: skip
        with (self.folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                self.network.inside(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=tools.environment(),
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        tools.end(process)

    @property
    def running(self) -> bool:
        """Whether QEMU still runs; raises BootFailed as soon as the console shows a panic."""
        if _PANIC in self._text():
            raise errors.BootFailed(f"the kernel panicked:\n{self.tail()}")
        return self._process is not None and self._process.poll() is None

    def _text(self) -> str:
        return self.console.read_text(encoding="utf-8", errors="replace") if self.console.exists() else ""

    def tail(self) -> str:
        """Return the last 50 lines of its serial console."""
        return "\n".join(self._text().splitlines()[-50:])

    def wait_off(self, seconds: float) -> None:
        """Wait until it powered itself off; raises BootFailed with the console's end on a panic or when it does not."""
        last = time.monotonic() + seconds
        while self.running:
            if time.monotonic() > last:
                raise errors.BootFailed(f"the machine did not power off in {seconds:.0f} s:\n{self.tail()}")
            time.sleep(0.2)
        assert self._process is not None
        if self._process.returncode:
            output = (self.folder / "qemu.log").read_text(encoding="utf-8", errors="replace")
            raise errors.BootFailed(f"QEMU ended with {self._process.returncode}: {output[-1000:]}\n{self.tail()}")
