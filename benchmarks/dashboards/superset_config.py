"""Settings of a Superset that lives for one proof, on 127.0.0.1."""

import os

SECRET_KEY = "lives-for-one-proof-and-guards-nothing-at-all"  # noqa: S105
SQLALCHEMY_DATABASE_URI = f"sqlite:///{os.environ['SUPERSET_HOME']}/superset.db"
TALISMAN_ENABLED = False
WTF_CSRF_ENABLED = False
RATELIMIT_ENABLED = False
