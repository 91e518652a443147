"""The devices torch finds on this computer."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from segstudio.core.memory import total_memory
from segstudio.engine.devices import DeviceInfo, DeviceState


def list_devices() -> tuple[DeviceInfo, ...]:
    """Every device a network can run on, best first; the CPU is last and always there."""
    devices: list[DeviceInfo] = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            devices.append(DeviceInfo(f"cuda:{index}", properties.name, "cuda", properties.total_memory))
    if torch.backends.mps.is_available():
        devices.append(DeviceInfo("mps", "Apple GPU", "mps", int(torch.mps.recommended_max_memory())))
    devices.append(DeviceInfo("cpu", _cpu_name(), "cpu", total_memory() or None))
    return tuple(devices)


def device_state(device: torch.device) -> DeviceState:
    """The device's name, and the memory this process holds there."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return DeviceState(str(device), torch.cuda.get_device_name(device), torch.cuda.memory_reserved(device), total)
    if device.type == "mps":
        used, total = torch.mps.driver_allocated_memory(), torch.mps.recommended_max_memory()
        return DeviceState("mps", "Apple GPU", int(used), int(total))
    return DeviceState(str(device), _cpu_name())


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine() or "CPU"
