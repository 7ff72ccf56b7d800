-- A template: no dialect reads it before it is filled in.
{% set weights = {'visit': 1, 'signup': 5} %}
INSERT INTO mart.leads
SELECT user_id, {% for name, weight in weights.items() %} {{ weight }} * count_{{ name }} {% if not loop.last %} + {% endif %} {% endfor %}
FROM {{ source('raw', 'events') }}
