from .bundle import build_superset_bundle as build_superset_bundle
