-- price_list: One row: whether there is a price list, so that the page shows dollars or hours.
-- reads: prices
-- question: Is there a price list?
select count(*) > 0 as is_priced
from prices
