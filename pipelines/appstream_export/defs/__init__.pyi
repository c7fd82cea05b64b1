from .component import AppStreamExport as AppStreamExport
from .definitions import export_definitions as export_definitions
from .reading import TableInputManager as TableInputManager, WarehouseResource as WarehouseResource
from .translator import ExportAssetData as ExportAssetData, ExportTranslator as ExportTranslator
