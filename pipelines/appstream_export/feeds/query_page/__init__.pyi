from .page import render_query_page as render_query_page
