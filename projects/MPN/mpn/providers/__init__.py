"""Providers find the body parts of an image with existing tools (Sec. 3.2).

A provider is a class registered under its name. It finds two maps, like the paper's two tools: the body parts (human
parsing) and the whole person with what they carry (segmentation).
"""

from .base import PROVIDERS, Found, Provider, build_provider

__all__ = ["PROVIDERS", "Found", "Provider", "build_provider"]
