"""What may befall a live log, as rules for machines that drive a `Sensor`."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from sensor import Sensor


class RotationRules(RuleBasedStateMachine):
    """The rules that need nothing but the sensor."""

    sensor: Sensor

    @rule()
    def change_header(self) -> None:
        self.sensor.change_header()

    @rule(close=st.booleans(), note=st.booleans(), create=st.booleans())
    def rename(self, close: bool, note: bool, create: bool) -> None:
        self.sensor.rename_log(close=close, note=note, create=create)

    @rule(packed=st.booleans())
    def copy_and_truncate(self, packed: bool) -> None:
        self.sensor.copy_and_truncate(packed=packed)

    @rule()
    def restart_in_place(self) -> None:
        self.sensor.restart_in_place()

    @rule()
    def delete_oldest(self) -> None:
        self.sensor.delete_oldest()

    @rule()
    def delete_log(self) -> None:
        self.sensor.delete_log()

    @rule()
    def swap_directory(self) -> None:
        self.sensor.swap_directory()

    @rule()
    def drain(self) -> None:
        self.sensor.drain()
