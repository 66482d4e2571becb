"""What a bench found, against its bar, and how it is printed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured figure."""

    what: str
    value: float
    unit: str = ""
    bar: str = ""
    """The promise, in words; empty when there is none."""
    is_met: bool | None = None
    detail: str = ""


def at_least(bar: float, *, what: str, value: float, unit: str = "x", detail: str = "") -> Figure:
    return Figure(what=what, value=value, unit=unit, bar=f">= {bar:g}{unit}", is_met=value >= bar, detail=detail)


def at_most(bar: float, *, what: str, value: float, unit: str = "x", detail: str = "") -> Figure:
    return Figure(what=what, value=value, unit=unit, bar=f"<= {bar:g}{unit}", is_met=value <= bar, detail=detail)


def below(bar: float, *, what: str, value: float, unit: str, detail: str = "") -> Figure:
    return Figure(what=what, value=value, unit=unit, bar=f"< {bar:g}{unit}", is_met=value < bar, detail=detail)


def print_head() -> None:
    print(f"{'':2}{'figure':56} {'value':>10} {'bar':>10}  met", flush=True)


def print_figures(figures: list[Figure]) -> None:
    """Print a line a figure: what, value, bar, whether it is met, and what it comes from."""
    for figure in figures:
        met = {True: "yes", False: "NO", None: ""}[figure.is_met]
        value = f"{figure.value:,.2f}{figure.unit}"
        print(f"{'':2}{figure.what:56} {value:>10} {figure.bar:>10}  {met:4} {figure.detail}", flush=True)
