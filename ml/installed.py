"""Models of other packages: whoever declares one as an entry point of the group `weft.models` is trained and scored beside ours."""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from ml import schema
from ml.model import ModelError, ModelModule

GROUP: Final = "weft.models"


def with_installed(
    ours: Mapping[str, ModelModule], *, found: Iterable[EntryPoint] | None = None
) -> dict[str, ModelModule]:
    """Our modules and those of installed packages, by the name of their model; the columns of their tables join the schema.

    A module of another package says the columns of its table itself, as COLUMNS. Raises ModelError with one sentence
    where it cannot be loaded, or takes a name or a table that another model has.
    """
    modules = dict(ours)
    points = entry_points(group=GROUP) if found is None else found
    for point in sorted(points, key=lambda point: point.name):
        module = _loaded(point)
        taken = {each.MODEL for each in modules.values()} | {each.TABLE for each in modules.values()}
        if {module.MODEL, module.TABLE} & taken:
            raise ModelError(
                f"The package {_package(point)} brings a model {module.MODEL!r} with the table {module.TABLE!r}, "
                "but another model has that name or table; uninstall one of them."
            )
        schema.PREDICTIONS[module.TABLE] = dict(module.COLUMNS)  # type: ignore[attr-defined]
        modules[module.MODEL] = module
    return modules


def _loaded(point: EntryPoint) -> ModelModule:
    try:
        module: ModelModule = point.load()
        lacking = sorted(name for name in (*_WANTED, "COLUMNS") if not hasattr(module, name))
    except Exception as error:
        raise ModelError(
            f"The model {point.name!r} of the package {_package(point)} cannot be loaded: {error}; mend or uninstall it."
        ) from error
    if lacking:
        raise ModelError(f"The model {point.name!r} of the package {_package(point)} lacks {', '.join(lacking)}.")
    return module


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


_WANTED: Final = tuple(name for name, member in vars(ModelModule).items() if isinstance(member, property))
