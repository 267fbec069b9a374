"""What a CPU offers is measured once, and remembered until something changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import choose, probe, project
from harness.engines.base import Engine
from harness.verdict import RunEnded, Verdict


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(project, "cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_bochs_has_vmx_and_qemu_without_kvm_has_svm(
    bochs: Engine, qemu: Engine, own_cache: Path
) -> None:
    assert {"vmx", "ept", "unrestricted-guest"} <= probe.features(bochs)
    assert {"svm", "npt"} <= probe.features(qemu)
    assert "vmx" not in probe.features(qemu)


def test_old_cpus_have_less(bochs: Engine, own_cache: Path) -> None:
    offered = probe.features(bochs, "corei5_lynnfield_750") | {"asked"}
    assert "ept" in offered
    assert "unrestricted-guest" not in offered


def test_a_cpu_is_measured_once(
    bochs: Engine, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = probe.report(bochs)
    monkeypatch.setattr(probe, "_measure", lambda *_: pytest.fail("measured again"))
    assert probe.report(bochs) == measured
    (cached,) = own_cache.glob("*.json")
    for damaged in ("{ damaged", "[" * 100_000, '{"features": []}'):
        cached.write_text(damaged)
        with pytest.raises(pytest.fail.Exception):
            probe.report(bochs)


def test_a_cpu_that_can_not_boot_is_a_reason_to_pass_the_engine_over(
    bochs: Engine, own_cache: Path
) -> None:
    reason, _ = choose.unmet(bochs, ["vmx"], "abacus")
    assert "no CPU model 'abacus'" in reason


def test_without_the_probe_image_the_user_is_told_to_build_it(
    bochs: Engine, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "probe_image", lambda: Path("/nonexistent/probe.elf"))
    with pytest.raises(RunEnded, match="run `make` first") as caught:
        probe.features(bochs)
    assert caught.value.verdict is Verdict.BAD_USAGE
