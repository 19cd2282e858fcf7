"""Shapes and dtypes of every annotated array are checked at run time in the tests."""

from jaxtyping import install_import_hook

from backend.threads import calm_thread_pools

calm_thread_pools()
install_import_hook(["backend"], "beartype.beartype")
