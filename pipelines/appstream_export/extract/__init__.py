"""Extract: accounts and regions become pages and outcomes. All clients of AWS but the warehouse's; knows no Arrow.

Lowest first: accounts, aws, scan, discovery; then outcomes, plan and probe. No module imports one that comes later.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
