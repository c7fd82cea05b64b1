from .account_labels import Labels as Labels, read_labels as read_labels
from .csv import FORMULA_GUARDS as FORMULA_GUARDS, guard_formulas as guard_formulas
from .prices import read_prices as read_prices
