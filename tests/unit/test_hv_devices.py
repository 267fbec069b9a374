"""The devices of a guest's PC, compiled for the host: each against the data sheet of its chip."""

from __future__ import annotations

import pytest

from tests.unit.hosttest import Driver

PIC = Driver("pic", under_test=("dev/pic.c",), checks=("pic.c",))
PIT = Driver(
    "pit", under_test=("dev/pit.c", "dev/pit_channel.c"), checks=("pit.c", "pit_channel.c")
)
UART = Driver("uart", under_test=("dev/uart.c",), checks=("uart.c",))
RTC = Driver("rtc", under_test=("dev/rtc.c", "core/calendar.c"), checks=("rtc.c",))
PLATFORM = Driver(
    "platform",
    under_test=(
        "dev/platform.c",
        "dev/pic.c",
        "dev/pit.c",
        "dev/pit_channel.c",
        "dev/uart.c",
        "dev/rtc.c",
        "core/calendar.c",
        "dev/power_ports.c",
    ),
    checks=("platform.c",),
)


@pytest.mark.parametrize("check", PIC.names())
def test_the_interrupt_controllers(check: str) -> None:
    PIC.run(check)


@pytest.mark.parametrize("check", PIT.names())
def test_the_interval_timer(check: str) -> None:
    PIT.run(check)


@pytest.mark.parametrize("check", UART.names())
def test_the_serial_port(check: str) -> None:
    UART.run(check)


@pytest.mark.parametrize("check", RTC.names())
def test_the_clock(check: str) -> None:
    RTC.run(check)


@pytest.mark.parametrize("check", PLATFORM.names())
def test_the_platform(check: str) -> None:
    PLATFORM.run(check)
