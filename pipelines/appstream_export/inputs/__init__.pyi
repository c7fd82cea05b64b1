from .account_labels import Labels as Labels, read_labels as read_labels
from .csv import FORMULA as FORMULA
from .prices import read_prices as read_prices
