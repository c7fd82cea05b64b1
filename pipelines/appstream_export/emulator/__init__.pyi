from .emulator import Emulator as Emulator
from .estate import MOMENTS as MOMENTS, OPENING as OPENING, Estate as Estate
from .estate_file import read_estate as read_estate
from .faults import FAULTS as FAULTS, Fault as Fault
from .items import make_image_builder as make_image_builder, make_item as make_item
