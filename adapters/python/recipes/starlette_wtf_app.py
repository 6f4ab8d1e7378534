import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette_wtf import CSRFProtectMiddleware, StarletteForm, csrf_protect
from wtforms import StringField
from wtforms.validators import DataRequired

from sessile.starlette import SessionMiddleware


class Order(StarletteForm):
    item = StringField("Item", validators=[DataRequired()])


@csrf_protect
async def order(request: Request) -> Response:
    form = await Order.from_formdata(request)
    if await form.validate_on_submit():
        request.session.setdefault("cart", []).append(form.item.data)
        return PlainTextResponse(" ".join(request.session["cart"]))
    return HTMLResponse(f"<form method=post>{form.csrf_token} {form.item} <button>Order</button></form>")


app = Starlette(
    routes=[Route("/", order, methods=["GET", "POST"])],
    middleware=[
        Middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"]),
        Middleware(CSRFProtectMiddleware, csrf_secret=os.environ["CSRF_SECRET"]),
    ],
)
