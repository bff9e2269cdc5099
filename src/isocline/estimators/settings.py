"""What an estimator of scikit-learn's manner has by its settings: they can be read and changed."""

from __future__ import annotations

import inspect
from typing import Any, Self

from isocline.errors import InputError


class Configured:
    """An estimator whose `__init__` keeps each of its arguments under its name."""

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """The names of the settings, as `__init__` has them."""
        return tuple(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All settings by name."""
        return {name: getattr(self, name) for name in self.setting_names()}

    def set_params(self, **settings: Any) -> Self:
        """Change settings; InputError names one that there is not."""
        names = self.setting_names()
        for name, value in settings.items():
            if name not in names:
                raise InputError(
                    f"{type(self).__name__} has no setting {name!r}; it has {', '.join(names)}."
                )
            setattr(self, name, value)
        return self
