from .console import (
    flush_output as flush_output,
    format_command as format_command,
    print_result as print_result,
    quote_shell_words as quote_shell_words,
    style as style,
)
from .output import write_result as write_result
from .progress import show_run_progress as show_run_progress
from .views.run import (
    RunSummary as RunSummary,
    render_failures as render_failures,
    render_run_facts as render_run_facts,
    summarize_run as summarize_run,
)
