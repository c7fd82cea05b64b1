"""Extract: request pages from AWS for accounts and regions. Has all AWS clients but the warehouse's; knows no Arrow.

From low to high: accounts, aws, scan, discovery; then outcomes, plan and probe. No module imports a higher one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
