from .demo import (
    print_demo_answer as print_demo_answer,
    print_demo_moment as print_demo_moment,
    print_next_commands as print_next_commands,
    print_served_emulator as print_served_emulator,
)
from .dictionary import (
    build_tables_overview as build_tables_overview,
    find_entry as find_entry,
    list_entries as list_entries,
    list_entry_columns as list_entry_columns,
    list_named_queries as list_named_queries,
)
from .doctor import build_doctor_objects as build_doctor_objects, render_doctor_lines as render_doctor_lines
from .maintenance import (
    build_erase_object as build_erase_object,
    build_expire_object as build_expire_object,
    build_verify_object as build_verify_object,
    has_passed as has_passed,
    render_erase_lines as render_erase_lines,
    render_expire_lines as render_expire_lines,
    render_repair_lines as render_repair_lines,
    render_vacuum_lines as render_vacuum_lines,
    render_verify_lines as render_verify_lines,
    suggest_account_exclusion as suggest_account_exclusion,
)
from .plan import build_plan_object as build_plan_object, render_plan_lines as render_plan_lines
from .run import (
    RunSummary as RunSummary,
    build_run_object as build_run_object,
    render_run_lines as render_run_lines,
    summarize_run as summarize_run,
)
from .settings import (
    build_settings_object as build_settings_object,
    render_settings_lines as render_settings_lines,
)
from .status import build_status_object as build_status_object, load_status as load_status, print_status as print_status
