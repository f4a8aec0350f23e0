"""The model behind HTTP: predictions as JSON, and a page to try it on pictures and a webcam."""

from .access import Access, is_loopback
from .app import make_app
from .limits import Limits
from .server import Server, bind

__all__ = ["Access", "Limits", "Server", "bind", "is_loopback", "make_app"]
