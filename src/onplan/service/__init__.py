"""Answers requests in other people's dialects with an ``AsyncClient``: a whole server but for the socket."""

from onplan.service.options import ServiceOptions as ServiceOptions
from onplan.service.service import Service as Service
