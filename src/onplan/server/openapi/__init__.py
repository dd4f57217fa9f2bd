"""The OpenAPI document of the server: every path, and the shapes of what is sent and answered."""

from onplan.server.openapi.document import openapi_document as openapi_document
