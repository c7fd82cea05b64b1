from .account_labels import Labels as Labels, read_labels as read_labels
from .csv import FORMULA_GUARDS as FORMULA_GUARDS, guard_formulas as guard_formulas
from .platform_support import read_platform_support as read_platform_support
from .prices import read_prices as read_prices
