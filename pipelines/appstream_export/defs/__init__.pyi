from .component import AppStreamExport as AppStreamExport
from .definitions import export_definitions as export_definitions
from .translator import ExportAssetData as ExportAssetData, ExportTranslator as ExportTranslator
