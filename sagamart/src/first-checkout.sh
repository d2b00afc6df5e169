base=http://127.0.0.1:8000
id() { sed 's/.*_id":"\([^"]*\)".*/\1/'; }

user=$(curl -sX POST $base/payment/create_user | id)
item=$(curl -sX POST $base/stock/item/create/5 | id)       # one unit costs 5
curl -sX POST $base/payment/add_funds/$user/100; echo      # funds added
curl -sX POST $base/stock/add/$item/10; echo               # stock added

order=$(curl -sX POST $base/orders/create/$user | id)
curl -sX POST $base/orders/addItem/$order/$item/2; echo    # item added
curl -sX POST $base/orders/checkout/$order; echo           # Checkout successful

curl -s $base/stock/find/$item; echo                       # {"stock":8,"price":5}
curl -s $base/payment/find_user/$user; echo                # {"user_id":"…","credit":90}
